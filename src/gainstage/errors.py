"""What goes wrong, said so that the reader knows what to write instead."""


class GainstageError(Exception):
    """Base of every error that gainstage raises on purpose.

    The message says what was expected, what came, and what to write.
    """


class ForwardError(GainstageError):
    """The model's own forward or backward pass raised; the message names the site."""
