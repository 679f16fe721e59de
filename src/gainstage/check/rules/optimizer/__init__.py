"""OPT8xx: the optimizer and the step that it makes."""
