"""What the lab says when it cannot do what was asked."""

from gainstage.errors import GainstageError


class LabError(GainstageError):
    """A lesson or the lab's server got something it cannot work with."""
