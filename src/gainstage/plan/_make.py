"""From a model and a batch to a plan, and from the plan to the weights."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from torch import nn

from gainstage.errors import GainstageError
from gainstage.init import Law
from gainstage.plan._calibrate import calibrated
from gainstage.plan._decide import decide
from gainstage.plan._plan import AUTO, Plan
from gainstage.plan._proof import Proof, start_of
from gainstage.plan._prove import prove
from gainstage.plan.schemes import law_of_scheme
from gainstage.run import Loss, all_or_nothing, entry, give_shapes, has_data, with_shapes
from gainstage.signal import Graph, Tape, record


@entry
def plan(
    model: nn.Module,
    example: Any,
    *,
    scheme: str | Law = "auto",
    keep: Iterable[str] = (),
    replace: Iterable[str] = (),
) -> Plan:
    """Decide how every parameter of `model` is to be filled, and why. Touches nothing.

    One forward pass shows how the parameters are used; the laws follow from that structure. `"auto"` aims at a signal
    of mean square 1 wherever it is carried, residual streams that at most double, attention logits of order 1, an
    initial loss at chance, and a start that trains at depth for plain chains. What theory does not cover is measured in
    two more forward passes with the planned weights, so the plan does not depend on weights that it replaces.

    `"auto"` keeps what is a decision of the model's author (zeros at the end of a branch, identities, time steps,
    chosen numbers), unless the found weights carry no signal; and all of a model that has been trained. Between theory
    and what was found it chooses by evidence: where the author drew weights with scales that no class draws, or where
    theory would multiply what reads very small inputs, the found laws stand if they carry the signal and are not far
    too small; `plan.choice` says which, and by which number. `"own"` draws the found laws anew by the seed (on the meta
    device those of the classes), and `"theory"` keeps nothing. The other schemes give every weight
    one law: `"torch"`, `"xavier_normal"`, `"xavier_uniform"`, `"he_normal"`, `"he_uniform"`, `"lecun_normal"`,
    `"orthogonal"` (times the gain of the activation), `"gpt2"`, `"normal"`, `"uniform"`, `"constant"`, `"zeros"`, or a
    law of `gainstage.init`. Those of papers look at the place of a weight too, and refuse a network of another kind:
    `"deepnorm"` (post-norm transformers), `"siren"` (networks of sines), `"mimetic"` (attention) and `"tat"` (plain
    networks of `nn.PReLU`).

    Args:
        model: any module that runs, also on the meta device.
        example: a tensor (one positional input), a tuple (positional inputs) or a dict (keyword inputs).
        scheme: name, or a law for all weights.
        keep: names of parameters that stay as they are.
        replace: names of parameters that are filled whatever they hold.

    Returns:
        The plan. Parameters that require no gradient, that are not understood or that are kept are named in it.

    Raises:
        GainstageError: unknown scheme or name, or the model does not run on the example.

    Example:
        >>> import torch, gainstage as gs
        >>> model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
        >>> print(gs.plan(model, torch.randn(8, 64))["0.weight"].law)
        lecun_normal
    """
    _known(scheme)
    shaped = with_shapes(model, example)
    tape = record(shaped, example, backward=False)
    return decide(shaped, example, tape, scheme, keep=keep, replaced=replace, own=True)


def plan_from(model: nn.Module, example: Any, tape: Tape, scheme: str | Law = "auto") -> Plan:
    """`plan`, for a model that was observed already: the tape is of one pass of it as it is."""
    return decide(model, example, tape, scheme)


@entry
def initialize(
    model: nn.Module,
    example: Any,
    *,
    target: Any = None,
    loss: Loss | None = None,
    seed: int = 0,
    scheme: str | Law = "auto",
    calibrate: bool = False,
    proof: bool = True,
    race: int = 0,
    keep: Iterable[str] = (),
    replace: Iterable[str] = (),
) -> Plan:
    """Initialize every parameter of `model` in place, and return the plan with the reasons.

    Under `"auto"` the start is proved: one pass forward and backward before and one after, and a forward pass on rows
    drawn anew and twice as large; with the trial of the plan these are four passes, and two to four forward passes more
    where an author's scales or values have to be weighed. Where the first loss, the outputs, the distance between
    samples or the gradients are worse than found, the parameters at fault go back to what they held, all of them if
    need be, and `plan.proof` says so.

    Args:
        model: any module that runs.
        example: a tensor (one positional input), a tuple (positional inputs) or a dict (keyword inputs).
        target: what `loss` compares the output with.
        loss: `loss(output, target)` returns a scalar; lets the proof compare first losses. Not needed where the model
            returns its own.
        seed: every weight is a function of (seed, parameter name, index) alone.
        scheme: as for `plan`.
        calibrate: afterwards rescale each weight, in execution order within one forward pass, so that the measured mean
            square behind it is the planned one (LSUV); the plan then holds the rescaled laws.
        proof: measure before and after, and go back where the new start is worse.
        race: steps, 30 for a start, that the candidates train for on this batch where a loss is given: theory, what was
            found, he_normal and xavier_normal. One that is clearly better than the chosen one is taken. Costs
            `12 * race` passes forward and backward, and is undone; 0 switches it off.
        keep, replace: as for `plan`.

    Returns:
        The plan that was applied, with its `proof`.

    Raises:
        GainstageError: as for `plan` and `Plan.apply`; the model is then as it was.

    Example:
        >>> import torch, gainstage as gs
        >>> model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
        >>> plan = gs.initialize(model, torch.randn(8, 64), seed=1)
        >>> float(model[0].bias.abs().sum())
        0.0

    References:
        Mishkin & Matas, *All you need is a good init*, ICLR 2016 (`calibrate`).
    """
    _known(scheme)
    given = {"target": target, "loss": loss}
    shaped = with_shapes(model, example)
    if not any(p.requires_grad for p in shaped.parameters()):
        raise GainstageError(
            f"{type(model).__name__} has no parameter that is trained, so there is nothing to start; "
            "initialize the model that has, or unfreeze one: parameter.requires_grad_()"
        )
    real = all(has_data(p) for p in shaped.parameters())
    proved = proof and scheme == "auto" and real and shaped is model
    found, unproved = _found(shaped, example, proved, **given)
    before = start_of(found) if proved and not unproved else None
    made = decide(
        shaped, example, found, scheme, keep=keep, replaced=replace, own=not calibrate, race_steps=race, **given
    )
    with all_or_nothing(model) as undo:
        give_shapes(model, example)
        if calibrate or before is not None:
            undo.before_write(model.parameters())
        made.apply(model, seed=seed)
        if calibrate:
            made = calibrated(made, Graph(found), model, example)
            made.apply(model, seed=seed)
        if before is not None:
            made = prove(made, model, example, before, undo, seed=seed, **given)
            _not_lost(made.proof)
        elif scheme in AUTO:
            why = unproved or ("switched off" if not proof else "not measured: the model has no values to compare with")
            made = _with(made, Proof(text=why))
    return made


def _found(model: nn.Module, example: Any, proved: bool, *, target: Any, loss: Loss | None) -> tuple[Tape, str]:
    """The tape of the found weights, forward only where that is all that there is, and then why it proves nothing."""
    if not proved:
        return record(model, example, backward=False), ""
    try:
        return record(model, example, target=target, loss=loss), ""
    except GainstageError as error:
        if target is not None or loss is not None:
            raise
        return record(model, example, backward=False), f"not measured: {error}"


def _not_lost(proof: Proof | None) -> None:
    if proof and proof.before and proof.after and proof.before.lost and proof.after.lost:
        raise GainstageError(
            "no output is a finite number, neither with the weights that were found nor with planned ones: no start "
            "mends that. Look for NaN in the example, and for a logarithm, root or division that takes what it "
            "cannot; proof=False starts the model all the same"
        )


def _with(made: Plan, proof: Proof) -> Plan:
    return replace(made, proof=proof)


def _known(scheme: str | Law) -> None:
    if scheme not in AUTO:
        law_of_scheme(scheme)
