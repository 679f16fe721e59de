"""Which site a place names."""

from gainstage.check._fact import fact
from gainstage.check.evidence import Evidence


def site_of(evidence: Evidence, where: str) -> int | None:
    """The site that a place names: a site, the first that reads a parameter or input, or the first in a module."""
    return _sites(evidence).get(where)


@fact
def _sites(evidence: Evidence) -> dict[str, int]:
    found: dict[str, int] = {}
    for site in evidence.tape.sites:
        for ref in site.inputs:
            leaf = evidence.tape.sites[ref.site]
            if leaf.is_leaf:
                found.setdefault(leaf.name, site.index)
        if not site.is_leaf:
            found.setdefault(site.name, site.index)
        path = "" if site.is_leaf else site.path
        while path:
            found.setdefault(path, site.index)
            path = path.rpartition(".")[0]
    return {**found, **{tie: found[name] for tie, name in evidence.tape.ties.items() if name in found}}
