"""What goes wrong in a training loop before or beside the training itself."""

from gainstage.errors import GainstageError


class TrainError(GainstageError):
    """The loop cannot run as asked: no batches left, sizes that do not fit, a loss that is no scalar."""
