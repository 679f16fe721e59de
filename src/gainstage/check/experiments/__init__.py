"""Bounded experiments on a model that yield evidence and leave no trace."""

from gainstage.check.experiments.one_pass import one_pass as one_pass
from gainstage.check.experiments.rerun import rerun as rerun
from gainstage.check.experiments.virtual_step import later as later
from gainstage.check.experiments.virtual_step import virtual_steps as virtual_steps
