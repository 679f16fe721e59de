"""Bounded experiments on a model that yield evidence and leave no trace."""

from gainstage.check.probes.one_pass import one_pass as one_pass
from gainstage.check.probes.rerun import rerun as rerun
from gainstage.check.probes.virtual_step import later as later
from gainstage.check.probes.virtual_step import virtual_steps as virtual_steps
