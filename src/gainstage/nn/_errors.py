"""What goes wrong in a layer: a size, a rate or an input that it cannot work with.

Each is also what torch raises there, so that a layer stands in for torch's where errors are caught.
"""

from gainstage.errors import GainstageError


class LayerError(GainstageError, ValueError):
    """A layer of `gainstage.nn` cannot be made or run as asked; the message says what to write instead."""


class LayerInputError(LayerError, RuntimeError):
    """The input has another shape than the layer takes, or is on another device."""


class LayerTypeError(LayerError, TypeError):
    """An argument is of another kind than the layer takes."""
