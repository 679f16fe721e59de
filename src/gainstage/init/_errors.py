"""What a caller of this room may want to catch."""

from gainstage.errors import GainstageError


class NotElementwise(GainstageError):
    """A gain was asked of a function that mixes entries (softmax, GLU), changes the shape, or draws at random."""


class UnknownLaw(GainstageError):
    """No law, activation or mode has this name; the message suggests the nearest."""


class CannotFill(GainstageError):
    """This law cannot fill this tensor: wrong number of dimensions, dtype, size, or parameters that make no sense."""
