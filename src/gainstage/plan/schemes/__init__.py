"""Schemes: one classical law for every weight, and what papers say otherwise of some of them.

A scheme is a name, the law that it gives a weight (`CLASSICAL`), and where a paper looks at the place of a weight a
function of the plan's `Context` that makes a `Rule` (`PAPERS`).
"""

from gainstage.plan.schemes._classical import CLASSICAL as CLASSICAL
from gainstage.plan.schemes._classical import PAPERS as PAPERS
from gainstage.plan.schemes._classical import classical as classical
from gainstage.plan.schemes._classical import law_of_scheme as law_of_scheme
