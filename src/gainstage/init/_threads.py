"""Independent pieces of work in several threads; the kernels release the GIL."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import torch

WORTH_A_THREAD = 1 << 16  # elements of a result for which another thread pays


def each(work: Callable[[int], None], items: Iterable[int], elements: int) -> None:
    """`work` on every item, in as many threads as torch uses and `elements` are worth; raises the first error of any.

    A thread takes the next item when it has finished one, so what costs most should come first.
    """
    threads = min(torch.get_num_threads(), elements // WORTH_A_THREAD)
    if threads < 2:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, items))
