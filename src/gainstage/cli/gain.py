"""`gainstage gain`: how much an activation shrinks its input."""

import click

from gainstage.cli._options import verbose
from gainstage.cli._terminal import say


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

    rows = [(name, gs.gain(name), _torch_gain(name)) for name in activations]
    wide = max(10, *(len(name) for name in activations))
    say(f"{'activation':<{wide}}  {'gain':>8}  {'kept':>8}  {'torch':>8}")
    for name, exact, torch_gain in rows:
        torchs = "-" if torch_gain is None else f"{torch_gain:.4f}"
        say(f"{name:<{wide}}  {exact:>8.4f}  {1 / exact**2:>8.4f}  {torchs:>8}")
    say()
    say("kept: mean square after / before.  torch: calculate_gain; - where it has none.")


def _torch_gain(name: str) -> float | None:
    from torch.nn.init import calculate_gain

    try:
        return float(calculate_gain(name))  # type: ignore[arg-type]
    except ValueError:
        return None
