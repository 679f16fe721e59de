"""Walks over the graph that several rules share."""

from gainstage.signal import Graph


def weights_behind(graph: Graph, index: int) -> list[int]:
    """The nearest sites before this one that multiply with a weight, through anything else."""
    found: list[int] = []
    todo, seen = [index], {index}
    while todo:
        current = todo.pop()
        for ref in graph.data(current):
            if ref.site in seen:
                continue
            seen.add(ref.site)
            if ref.site in graph.weights:
                found.append(ref.site)
            else:
                todo.append(ref.site)
    return sorted(found)
