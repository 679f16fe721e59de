"""When networks cannot be run as one."""

from gainstage.train._errors import TrainError


class CannotStack(TrainError):
    """These models cannot run as one program; `together=False` trains them one by one to the same numbers."""
