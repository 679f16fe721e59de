"""`gs.transfer`: from two sizes of a model to the start, the rates and the multipliers of the large one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from gainstage._columns import columns
from gainstage._visible import visible
from gainstage.errors import GainstageError
from gainstage.init import Law
from gainstage.run import Loss, entry, tensors_in
from gainstage.transfer._check import Prepare, Question, coordinates, ready
from gainstage.transfer._judge import Coordinates
from gainstage.transfer._rates import Rates
from gainstage.transfer._resolve import Scaled, check_arguments, resolve
from gainstage.transfer._sizes import Make, Sizes, between, given
from gainstage.transfer._study import Training, data_of, rates_of


@dataclass(frozen=True)
class _From:
    """What a transfer was made from."""

    sizes: Sizes
    base: Any
    target: Any
    scheme: str | Law


@dataclass(frozen=True)
class Transfer(Scaled):
    """How the target starts and is trained, and what can be asked about it.

    Attributes: those of `Scaled`.
    """

    made: _From | None = field(default=None, repr=False, compare=False)

    def model(self, *, seed: int = 0) -> nn.Module:
        """A model of the target's size: built by the factory and started."""
        made = self._known("build a model")
        built = made.sizes.build(made.target, seed=seed).model
        self.apply(built, seed=seed)
        return built

    def check(
        self,
        *,
        widths: Sequence[Any] | None = None,
        depths: Sequence[Any] | None = None,
        seeds: int = 3,
        most: int = 24,
        steps: int = 5,
        lr: float | None = None,
        margin: float = 0.1,
        progress: bool = False,
        prepare: Prepare = ready,
    ) -> Coordinates:
        r"""Train a few steps at four widths and depths, and say whether every part moves as far at each.

        Of every parameter it is measured what it learns, $f(x_t;\theta_t) - f(x_t;\theta_0)$, and what its start passes
        on, $f(x_t;\theta_0) - f(x_0;\theta_0)$ over $x_t - x_0$; of attention the change of the logits; of the network
        that of its output. The slope of the logarithm of each over that of the size has an interval over seeds: pass
        (within `margin` of the rule), fail (outside: the parameter and the broken rule are named), or cannot tell.

        Args:
            widths, depths: sizes as the factory takes them, the base first; by default four on the way to the target.
            seeds: at least 1; a start and an order of chance each.
            most: seeds, up to which there are more where fewer cannot tell. The number that the spread asks for is
                added, as a rule once or twice; an exponent that lies right on the margin then passes, or fails, in 6 of
                100 checks rather than in 2.5.
            steps: of training on the example.
            lr: of the base; by default one at which a step moves the base's sites by a two-thousandth.
            margin: around the exponent of the rule.
            progress: shows on a terminal how many trainings are done, and the time that is left.
            prepare: `prepare(model, scaled, lr, seed)` starts a model of a size and returns its optimizer, to check
                another way of scaling than this one.

        Returns:
            The verdict with its rows.

        Raises:
            GainstageError: the transfer came from a file, or the factory fails at a size.
        """
        made = self._known("check it")
        wide, deep = between(made.sizes, made.base, made.target, 4)
        along = {"width": given(widths) if widths else wide, "depth": given(depths) if depths else deep}
        asked = Question(made.sizes, made.base, self.optimizer, self.rule, made.scheme, prepare)
        return coordinates(asked, along, seeds=seeds, most=most, steps=steps, lr=lr, margin=margin, progress=progress)

    def study(
        self,
        *,
        rates: Sequence[float] | None = None,
        widths: Sequence[Any] | None = None,
        depths: Sequence[Any] | None = None,
        seeds: int = 3,
        steps: int = 200,
        batch_size: int = 64,
        data: tuple[Any, Any] | None = None,
        loss: Loss | None = None,
        compare: Sequence[str] = ("standard", "embedding"),
        progress: bool = False,
        **options: Any,
    ) -> Rates:
        """Train at four widths and depths, at every rate and seed, and say whether the best rate stays.

        Three numbers tell: what the base's best rate costs at the largest size, how sharp the bottom of the loss over
        the rate is, and how far the best rate moves with every doubling; each with its interval over seeds. Beside this
        rule the others of `compare` are trained: where the standard parameterization transfers as well on this task, or
        where only the rate of embeddings matters, the study says so. Networks of one size are trained as one program
        where they can be.

        Args:
            rates: of the base, from small to large; by default seven, 4 times apart, around 1e-3 (Adam) or 0.1 (SGD).
            widths, depths: as for `check`.
            seeds, steps, batch_size: of every run; at most as many samples as there are.
            data: `(x, y)` to train on; by default the example.
            loss: `loss(output, y)`; by default the Subject's, or the model's own.
            compare: other rules, `"standard"`, and `"embedding"`: all rates over the width but those of embeddings.
            progress: shows on a terminal how many sizes are done, and the time that is left.
            **options: of the optimizer, `weight_decay=0.1`.

        Raises:
            GainstageError: there is no loss to train with.

        References:
            Yang et al. 2022; Everett et al. 2024 (excess loss); the arm `"embedding"` is that of arXiv 2605.21486.
        """
        made = self._known("study it")
        asked = Question(made.sizes, made.base, self.optimizer, self.rule, made.scheme)
        wide, deep = between(made.sizes, made.base, made.target, 4)
        along = {"width": given(widths) if widths else wide, "depth": given(depths) if depths else deep}
        around = {"sgd": 0.1}.get(self.optimizer, 1e-3)
        pairs, how = data_of(asked, data, loss)
        count = len(next(tensors_in(pairs[0])))
        training = Training(
            tuple(rates or (around * 4.0**k for k in range(-3, 4))),
            seeds,
            steps,
            min(batch_size, count),
            pairs,
            how,
            tuple(dict.fromkeys((self.rule, *compare))),
            options,
        )
        return rates_of(asked, along, training, progress=progress)

    def table(self, width: int | None = 80) -> str:
        """One row a parameter: what grows, and its factors of start, rate and epsilon."""
        rows = [
            (name, s.kind, ", ".join(s.grows) or "-", _number(s.std), _number(s.lr), _number(s.eps))
            for name, s in self.scalings.items()
        ]
        head = f"{self.rule} with {self.optimizer}, {self.base} to {self.target}: factors on the base's"
        lines = [
            head,
            columns(("parameter", "kind", "grows", "start", "rate", "eps"), rows, numbers=(3, 4, 5), width=width),
        ]
        for m in self.multipliers:
            into = f"worked into {', '.join(name for name, _ in m.folded)}" if m.folded else "no parameter takes it up"
            lines.append(f"{m.what} at {m.place}: times {m.factor:.4g}, {into}")
        return visible("\n".join(lines), keep="\n")

    def __str__(self) -> str:
        return self.table()

    def _known(self, what: str) -> _From:
        if self.made is None:
            raise GainstageError(
                f"this transfer was read from a file and has no factory to {what} with: write gs.transfer"
            )
        return self.made


def _number(value: float | None) -> str:
    return "own" if value is None else f"{value:.3g}"


@entry
def transfer(
    make: Make | None,
    base: Any,
    target: Any,
    *,
    optimizer: str = "adam",
    rule: str = "mup",
    example: Any = None,
    labels: Any = None,
    loss: Loss | None = None,
    scheme: str | Law = "own",
    zero_readout: bool = False,
) -> Transfer:
    r"""What keeps a model's behaviour from a small size to a large one: its start, its rates and its multipliers.

    One pass at each size shows what every parameter does and which of its dimensions grow; no names, no classes, no
    file of shapes. With $a$ and $b$ how many times the base's its fan-in and fan-out are, and under Adam:

    $$ \sigma \propto a^{-1/2}, \quad \eta \propto a^{-1}, \quad \epsilon \propto b^{-1}, \quad
       \lambda \propto \eta^{-1} $$

    for a weight between hidden units, $\sigma \propto a^{-1}$ for a readout, and 1 for what reads a fixed number of
    values. The rates of the base are then right for the target. At the base's size everything is as it was. Where depth
    grows, a residual branch is multiplied by $L^{-1/2}$ (`"mup"`) or $L^{-1}$ (`"completep"`). `Transfer.check()` says
    whether it holds, `Transfer.study()` whether the best rate stays.

    Args:
        make: builds the model of a size, alone, with its example, or as a `gs.Subject`; None where `base` and `target`
            are models.
        base: the size that is tuned: a number, a dict of keyword arguments, a tuple, or a configuration object.
        target: the size that is wanted.
        optimizer: `"adam"` (AdamW), `"sgd"`, or `"muon"` for hidden matrices with AdamW for the rest.
        rule: `"mup"`, `"completep"`, `"spectral"`, or `"standard"`, which changes nothing.
        example: inputs of a batch, where the factory returns a model alone.
        labels: of the example.
        loss: `loss(output, labels)`, where the factory returns no Subject with one and the model has none of its own.
        scheme: `"own"` keeps what the factory draws wherever its scale is right; else the laws of `gs.plan(scheme=)`
            at the base, scaled.
        zero_readout: the readout starts at 0.

    Returns:
        The transfer: `plan`, `scalings`, `multipliers`, and what can be done with them.

    Raises:
        GainstageError: an unknown optimizer or rule; the factory raises, ignores the size, or builds another structure.

    Example:
        >>> import torch, gainstage as gs
        >>> def make(width):
        ...     model = torch.nn.Sequential(torch.nn.Linear(8, width), torch.nn.ReLU(), torch.nn.Linear(width, 2))
        ...     return model, torch.randn(16, 8)
        >>> move = gs.transfer(make, 64, 512)
        >>> move.scalings["2.weight"].lr, move.scalings["0.weight"].lr
        (0.125, 1.0)
        >>> adam = move.make_optimizer(move.model(), lr=8e-3)
        >>> sorted({group["lr"] for group in adam.param_groups})
        [0.001, 0.008]

    References:
        Yang et al., *Tensor Programs V: Tuning Large Neural Networks via Zero-Shot Hyperparameter Transfer*, 2022.
    """
    check_arguments(optimizer, rule)
    sizes = Sizes(make, example, labels, loss)
    found = resolve(sizes, base, target, optimizer, rule, scheme, zero_readout=zero_readout).scaled
    parts = {name: getattr(found, name) for name in Scaled.__dataclass_fields__}
    return Transfer(**parts, made=_From(sizes, base, target, scheme))
