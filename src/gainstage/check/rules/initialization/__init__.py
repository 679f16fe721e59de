"""INI1xx: how the parameters start."""
