"""What goes wrong in a study."""

from gainstage.errors import GainstageError


class StudyError(GainstageError):
    """A study, an arm or a store cannot be used as it was asked for; trials that are done are kept."""
