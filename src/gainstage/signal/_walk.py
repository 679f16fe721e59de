"""A walk over the sites of a tape."""

from collections.abc import Callable, Iterable, Iterator


def walk(starts: Iterable[int], step: Callable[[int], Iterable[int]]) -> Iterator[int]:
    """The starts and every site that steps from them reach, each once.

    Example:
        >>> list(walk([4], lambda site: [site // 2, 0]))
        [4, 0, 2, 1]
    """
    todo = list(dict.fromkeys(starts))
    seen = set(todo)
    while todo:
        current = todo.pop()
        yield current
        fresh = [site for site in dict.fromkeys(step(current)) if site not in seen]
        seen.update(fresh)
        todo += fresh
