"""INI1xx: how the parameters start."""

from gainstage.check.rules.initialization import units as units
