"""What all paths through a pass have in common."""

from gainstage.signal import Graph

_PRIME = 2**61 - 1


def cuts(graph: Graph) -> set[int]:
    """Every site that all paths from the inputs to the outputs and the loss lead through, in linear time.

    The paths into a site times the paths out of it are all the paths there are. They are counted modulo a prime of 61
    bits, since their number grows exponentially with depth.
    """
    ends = graph.outputs | {site.index for site in graph.sites if site.kind == "loss"}
    starts = {site.index for site in graph.sites if site.kind == "input"}
    into = [0] * len(graph.sites)
    for index in range(len(graph.sites)):
        into[index] = (into[index] + (index in starts)) % _PRIME
        if index not in ends:
            for reader in graph.consumers[index]:
                into[reader] += into[index]
    out = [0] * len(graph.sites)
    for index in reversed(range(len(graph.sites))):
        out[index] = 1 if index in ends else sum(out[reader] for reader in graph.consumers[index]) % _PRIME
    paths = sum(out[index] for index in starts) % _PRIME
    on_way = (s.index for s in graph.sites if s.kind in ("op", "view") and into[s.index])
    return {index for index in on_way if into[index] * out[index] % _PRIME == paths}
