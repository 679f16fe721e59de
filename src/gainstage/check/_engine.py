"""`check`: probes give evidence, rules read it, findings make a report."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from gainstage.check._fold import fold
from gainstage.check._given import given
from gainstage.check._places import sourced
from gainstage.check._registry import NotMeasured, chosen
from gainstage.check.config import Config
from gainstage.check.evidence import Evidence
from gainstage.check.experiments.foretold import FORETOLD
from gainstage.check.findings import FAILED, Finding, NotJudged, Report
from gainstage.errors import ForwardError, GainstageError
from gainstage.run import Loss, NotRestored, Subject, entry, with_shapes

_VALUELESS = "the model is on the meta device or fake, where tensors have no values, and a forecast does not tell"


@entry
def check(
    model: nn.Module | Subject | Any,
    example: Any = None,
    *,
    target: Any = None,
    loss: Loss | str | None = None,
    optimizer: Optimizer | None = None,
    train_step: Callable[[], Tensor | float] | None = None,
    train: bool = False,
    steps: int = 16,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    config: Config | None = None,
    seed: int = 0,
) -> Report:
    r"""Say what is wrong with a model at its start, with measured numbers, and what would repair it.

    One forward and one backward pass are observed, with dropout switched off; where a parameter got no gradient,
    virtual steps (two, and up to six while each reaches more parameters) show whether it will get one; up to two plain
    forward passes show what evaluation mode and other samples change. The model is left exactly as it was. That takes
    one to four plain passes forward and backward, one to two more with an optimizer, and with a `train_step` sixteen of
    its calls besides; as many again at a tenth of the learning rate where its loss rises.

    Args:
        model: any module that runs; it is run in the mode (train or eval) that it is in. A `Subject`, or a trainer that
            is about to train (`transformers.Trainer`), holds all that follows, which then need not be given. Of a model
            on the meta device the rules on collapse, vanishing and growth (FWD201 to FWD203) judge what theory foresees
            of the start that its classes give it, and say so ("predicted").
        example: a tensor (one positional input), a tuple (positional inputs) or a dict (keyword inputs). At least 32
            different samples let every rule speak. Arrays of NumPy are turned to tensors, and of a `DataLoader` the
            first batch is taken, with its target.
        target: what `loss` compares the output with.
        loss: `loss(output, target)` returns a scalar; or the name of one in `torch.nn.functional`. Without it the
            output's own `.loss` (or key `loss`) is used; without either, a surrogate makes gradients flow and rules
            about the loss stay silent.
        optimizer: over the model's parameters; lets the rules about the step (`OPT`) speak. It is left as it was.
        train_step: performs one real step of your own loop on `model`, with `optimizer` if that is given, and returns
            its loss. It is run `steps` times and undone with all that it can reach:
            parameters, optimizers, schedules, scalers, generators. Data that it draws from an iterator is gone.
        train: also run the rules that train the model for a few seconds (`TRN`), and undo it.
        steps: how often `train_step` is run, at least 2 (up to 16 if it makes no step).
        select: run only the rules whose codes begin with one of these, e.g. `("INI", "FWD201")`.
        ignore: do not run the rules whose codes begin with one of these.
        config: settings of a project, as `check.config.find` reads them; `select` and `ignore` win over them.
        seed: seeds the randomness of the passes.

    Returns:
        The report: findings, worst first, symptoms folded under their causes, and the rules that could not be judged
        on this model, each with the reason.

    Raises:
        ForwardError: the model or the loss raised; the message names the site.
        GainstageError: an unknown code, a loss that is no scalar, or a wrong call, in one sentence.

    Example:
        >>> import torch, gainstage as gs
        >>> model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
        >>> for parameter in model.parameters():
        ...     _ = torch.nn.init.constant_(parameter, 0.1)
        >>> [(f.code, f.where) for f in gs.check(model, torch.randn(32, 8)).findings if f.severity == "error"]
        [('INI101', '0.weight')]
    """
    settings = (config or Config()).over(select, ignore)
    rules = [r for r in chosen(settings.select, settings.ignore) if settings.severity_of(r.code) != "off"]
    subject = given(model, example, target, loss, optimizer, train_step)
    model = with_shapes(subject.model, subject.example)
    if steps < 2:
        raise GainstageError(
            f"steps={steps}: the second call of train_step shows what the first has left; give at least 2"
        )
    try:
        evidence = Evidence(
            model,
            subject.example,
            target=subject.target,
            loss=subject.loss,
            optimizer=subject.optimizer,
            train_step=subject.train_step,
            train=train,
            steps=steps,
            seed=seed,
        )
    except ForwardError as error:
        if subject.loss is not None and subject.target is None and "the loss raised" in str(error):
            raise GainstageError(
                f"a loss was given and no target: add target=, what the loss compares with ({error})"
            ) from error
        raise
    findings: list[Finding] = []
    judged: list[str] = []
    not_judged: list[NotJudged] = []
    for rule in rules:
        if evidence.foretold and rule.code not in FORETOLD:
            not_judged.append(NotJudged(rule.code, rule.name, _VALUELESS))
            continue
        try:
            found = rule.findings(evidence)
            findings += [replace(f, measured=f"predicted: {f.measured}") for f in found] if evidence.foretold else found
        except NotMeasured as reason:
            not_judged.append(NotJudged(rule.code, rule.name, str(reason)))
        except NotRestored:
            raise
        except GainstageError as reason:  # the model raises where it is run again
            not_judged.append(NotJudged(rule.code, rule.name, f"asked again, {reason}"))
        except Exception as error:  # a fault of the rule must not hide what the others found
            why = f"{FAILED}: {type(error).__name__}: {error}; please report this model"
            not_judged.append(NotJudged(rule.code, rule.name, why))
        else:
            judged.append(rule.code)
    return Report(
        model=evidence.tape.model,
        parameters=sum(p.numel() for p in evidence.trainable.values()),
        sites=len(evidence.tape),
        findings=tuple(sourced(f, evidence) for f in fold(settings.adjusted(findings), evidence)),
        not_judged=tuple(not_judged),
        judged=tuple(judged),
        tape=evidence.tape,
        planner=evidence.planner,
    )
