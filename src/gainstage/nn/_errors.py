"""What goes wrong in a layer: a size, a rate or an input that it cannot work with."""

from gainstage.errors import GainstageError


class LayerError(GainstageError):
    """A layer of `gainstage.nn` cannot be made or run as asked; the message says what to write instead."""
