"""`gainstage gain`: how much an activation shrinks its input."""

import click

from gainstage.cli._options import verbose
from gainstage.cli._terminal import say, width


@click.command()
@verbose
@click.argument("activations", nargs=-1, required=True, metavar="ACTIVATION...")
def gain(activations: tuple[str, ...]) -> None:
    """Print the exact gain of each ACTIVATION.

    The gain is 1 / sqrt(E[phi(z)^2]) for z ~ N(0, 1). A weight with standard
    deviation gain / sqrt(fan_in) in front of the activation keeps the mean
    square of the signal. The last column is torch.nn.init.calculate_gain.

    \b
    gainstage gain relu gelu silu
    """
    import gainstage as gs
    from gainstage._columns import columns

    gains = {name: gs.gain(name) for name in activations}
    rows = [(name, f"{gain:.4f}", f"{1 / gain**2:.4f}", _torch_gain(name)) for name, gain in gains.items()]
    say(columns(("activation", "gain", "kept", "torch"), rows, numbers=range(1, 4), width=width()))
    say()
    say("kept: mean square after / before.  torch: calculate_gain; - where it has none.")


def _torch_gain(name: str) -> str:
    from torch.nn.init import calculate_gain

    try:
        return f"{calculate_gain(name):.4f}"  # type: ignore[arg-type]
    except ValueError:
        return "-"
