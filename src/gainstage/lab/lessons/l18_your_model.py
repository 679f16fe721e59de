# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Your model: a network must pass its check before it costs a night of training."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="18. Your model · gainstage lab")

with app.setup:
    import importlib
    import sys
    import traceback
    from itertools import pairwise
    from math import sqrt
    from pathlib import Path
    from types import ModuleType

    import marimo as mo
    import torch
    from torch import nn

    import gainstage as gs
    from gainstage import lab

    LESSON = lab.lesson("l18_your_model")
    SMALL_START = """\
def build():
    layers = []
    for fan_in, fan_out in [(64, 64)] * 7 + [(64, 10)]:
        linear = nn.Linear(fan_in, fan_out)
        nn.init.normal_(linear.weight, std=0.01)
        layers += [linear, nn.ReLU()]
    model = nn.Sequential(*layers[:-1])

    x, y = torch.randn(128, 64), torch.randint(10, (128,))
    sgd = torch.optim.SGD(model.parameters(), lr=0.05)
    return gs.Subject(model, x, y, nn.functional.cross_entropy, sgd)
"""
    CONVOLUTIONS = """\
def build():
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )
    return model, torch.randn(64, 3, 16, 16)
"""
    TRANSFORMER = """\
class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(100, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.head = nn.Linear(32, 5)

    def forward(self, ids):
        return self.head(self.encoder(self.embed(ids)).mean(1))


def build():
    ids, y = torch.randint(100, (64, 12)), torch.randint(5, (64,))
    return gs.Subject(Reader(), ids, y, nn.functional.cross_entropy)
"""
    STARTERS = {
        "fully connected, weights of std 0.01": SMALL_START,
        "convolutions with batch normalization": CONVOLUTIONS,
        "PyTorch's transformer encoder": TRANSFORMER,
    }


@app.cell
def _():
    lab.title(LESSON)
    return


@app.cell
def _():
    lab.prose(r"""
    The lessons before this one took networks that were made for them. Here you bring your own. You get what
    `gainstage` knows about it: what is wrong (the *check*), how its signal and its gradient run (the *trace*), how each
    of its parameters should start and why (the *plan*), and the same start as plain PyTorch code.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The derivation: when a check pays

    A training run makes $T$ updates. Say that it is broken from the start with probability $p$, and that you see so
    only at the end: on average, $p\,T$ updates are lost. A check before the run costs the work of $c$ updates, every
    time. It pays as soon as

    $$ c < p\,T \qquad\Longleftrightarrow\qquad p > \frac{c}{T} $$

    This counts a check that finds every fault. If it finds a share $s$ of them, then $p > c / (s\,T)$. The cost $c$
    is counted below, on your network: how often it is run forward during `gs.check`. An update runs forward once and
    backward once, and a check need not go back each time, so that this count is at least as large as the true cost.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The code

    What a plan decides can be worked out by hand where the network is simple. A weight behind a ReLU gets the standard
    deviation $\sqrt{2 / n}$, with $n$ the fan in (lesson 5):
    """)
    return


@app.function
def stds_by_hand(model):
    """Standard deviation for every hidden weight behind a ReLU of a plain nn.Sequential."""
    names = [name for name, module in model.named_children() if isinstance(module, nn.Linear)]
    hidden = names[1:-1]  # the first reads data, and the last is the head
    return {f"{name}.weight": sqrt(2 / model.get_submodule(name).in_features) for name in hidden}


@app.cell
def _():
    lab.code(stds_by_hand)
    return


@app.cell
def _():
    lab.prose(r"""
    The library watches one forward pass of the model. From what it saw it gives every parameter a *role*, a *law* (how
    it is filled) and a *reason*:

    ```python
    plan = gs.plan(model, x)
    plan["2.weight"].role, plan["2.weight"].law, plan["2.weight"].reason
    ```

    Both, for the hidden weights of a network of five layers of different widths:
    """)
    return


@app.cell
def _():
    _widths = [64, 32, 128, 48, 96, 10]
    _layers = [layer for a, b in pairwise(_widths) for layer in (nn.Linear(a, b), nn.ReLU())]
    _model = nn.Sequential(*_layers[:-1])
    _plan = gs.plan(_model, lab.draw(gs.init.normal(), 32, 64))
    hand_and_plan = [
        {
            "weight": name,
            "by hand": std,
            "planned": _plan[name].law.concrete(_plan.shapes[name], _plan[name].fans).std,
            "role": _plan[name].role,
        }
        for name, std in stds_by_hand(_model).items()
    ]
    lab.table(hand_and_plan, "Standard deviation of the hidden weights, by hand and by gs.plan")
    return (hand_and_plan,)


@app.cell
def _():
    lab.prose(r"""
    ## Measure it: bring your network

    Write a function `build()` that takes nothing and returns the model and one batch: `(model, example)`, or
    `gs.Subject(model, example, target, loss, optimizer)`. The more it returns, the more rules can speak. The names
    `torch`, `nn` and `gs` are there. At least 32 different samples are best; random ones will do, real ones tell more.

    Or give a TARGET, as for the commands `gainstage check`, `trace` and `init`: `path/to/file.py:factory` or
    `package.module:factory`. A TARGET goes before the code in the box.

    The code runs on your machine with your rights, when you press the button. It is not part of the address.
    """)
    return


@app.cell
def _():
    starter = lab.dropdown("starter", list(STARTERS), next(iter(STARTERS)), label="Begin with")
    night = lab.slider(
        "night", 0, 1, 10_000, label="Updates of the training run", steps=[100, 1000, 10_000, 100_000, 1_000_000]
    )
    seed = lab.slider("seed", 0, 20, 0, label="Seed of the planned start")
    lab.panel(starter, night, seed)
    return night, seed, starter


@app.cell
def _(starter):
    _code = STARTERS[starter.value]
    model_given = mo.ui.batch(
        mo.Html("{code}{target}"),
        {
            "code": mo.ui.code_editor(_code, language="python", label="Your code", min_height=220),
            "target": mo.ui.text(placeholder="path/to/file.py:build", label="or TARGET", full_width=True),
        },
    ).form(submit_button_label="Check, plan, trace", bordered=False)
    lab.Block(mo.as_html(model_given).text, lambda: lab.code(_code).static, [model_given])
    return (model_given,)


@app.function
def factory(target):
    """The function that a TARGET names; a file is read anew each time."""
    where, _, name = target.strip().rpartition(":")
    if not where or not name.isidentifier():
        raise lab.LabError(f"TARGET is {target!r}: write path/to/file.py:factory or package.module:factory")
    if where.endswith(".py"):
        file = Path(where).expanduser().resolve()
        if not file.is_file():
            raise lab.LabError(f"there is no file {file}. A path starts where gainstage lab was started: {Path.cwd()}")
        if str(file.parent) not in sys.path:
            sys.path.insert(0, str(file.parent))  # as when Python runs it
        module = ModuleType(f"_lab_{file.stem}")
        module.__file__ = str(file)
        sys.modules[module.__name__] = module  # pickle and dataclasses look there
        exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), vars(module))
    else:
        module = importlib.import_module(where)
    if not callable(getattr(module, name, None)):
        own = [(key, value) for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        known = [key for key, value in own if getattr(value, "__module__", None) == module.__name__]
        raise lab.LabError(f"{where} has no function {name}(). It has: {', '.join(known[:8]) or 'none'}")
    return getattr(module, name)


@app.function
def subject_of(code, target=""):
    """What the code or the TARGET builds, as a gs.Subject; drawn with a fixed seed, so that it is the same twice."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = factory(target)() if target.strip() else lab.compiled(code)()
    if isinstance(made, tuple) and len(made) == 2:
        made = gs.Subject(*made)
    if isinstance(made, nn.Module):
        raise lab.LabError("build() returns a model without a batch. Write: return model, torch.randn(64, ...)")
    if not isinstance(made, gs.Subject) or not isinstance(made.model, nn.Module):
        what = "nothing: is a return missing?" if made is None else f"a {type(made).__name__}."
        raise lab.LabError(f"build() returns {what} Expected (model, example) or gs.Subject(model, example, ...)")
    if made.example is None:
        raise lab.LabError("the Subject has no example. Write: gs.Subject(model, torch.randn(64, ...))")
    return made


@app.function
def checked(subject):
    """The report of `gs.check`, with all that the subject carries."""
    return gs.check(
        subject.model,
        subject.example,
        target=subject.target,
        loss=subject.loss,
        optimizer=subject.optimizer,
        train_step=subject.train_step,
    )


@app.function
def left(table):
    """A table of sentences: flush left."""
    made = table.text.replace("<td>", '<td style="text-align: left; min-width: 5rem; overflow-wrap: anywhere">')
    made = made.replace('<th scope="col">', '<th scope="col" style="text-align: left">')
    return lab.Block(made, made)


@app.function
def told(error):
    """What went wrong in somebody's code, with the line of it where there is one."""
    if isinstance(error, SyntaxError):
        return f"The code is not valid Python: {error.msg} (line {error.lineno})."
    frames = traceback.extract_tb(error.__traceback__)
    line = [frame.lineno for frame in frames if frame.filename == "<your code>"]
    said = str(error) if isinstance(error, gs.GainstageError) else f"{type(error).__name__}: {error}"
    return said + (f" (line {line[-1]} of your code)" if line else "")


@app.function
def looked_at(code, target=""):
    """Subject, report, tape, plan and the number of forward passes of the check; a `LabError` where it does not run."""
    try:
        subject, passes = subject_of(code, target), []
        counter = subject.model.register_forward_pre_hook(lambda *_: passes.append(1))
        report = checked(subject)
        counter.remove()
        tape = gs.record(subject.model, subject.example, target=subject.target, loss=subject.loss)
        plan = gs.plan(subject.model, subject.example)
    except (Exception, SystemExit) as error:
        return lab.LabError(told(error))
    return {"subject": subject, "report": report, "tape": tape, "plan": plan, "passes": len(passes)}


@app.cell
def _(model_given, starter):
    asked = model_given.value or {"code": STARTERS[starter.value], "target": ""}
    look = looked_at(asked["code"], asked["target"])
    runs = not isinstance(look, lab.LabError)
    lab.prose("") if runs else lab.note("wrong", lab.prose(f"This cannot be checked.\n\n```text\n{look}\n```"))
    return asked, look, runs


@app.cell
def _(look, night, runs):
    _cost = look["passes"] if runs else float("nan")
    lab.readout(
        parameters=f"{look['report'].parameters:,}" if runs else "–",
        errors=look["report"].count("error") if runs else "–",
        warnings=look["report"].count("warning") if runs else "–",
        forward_passes_of_the_check=_cost,
        it_pays_from_a_risk_of=f"{_cost / night.value:.3%}",
    )
    return


@app.cell
def _():
    lab.prose("### 1. The check: what is wrong")
    return


@app.cell
def _(look, runs):
    def _block():
        report = look["report"]
        silent = [{"code": n.code, "rule": n.name, "why": n.why} for n in report.not_judged]
        folded = f"<details><summary>{len(silent)} rules could not be measured on this model</summary>"
        folded += left(lab.table(silent, "Not measured, and why")).text + "</details>"
        said = f"{len(report.judged)} rules were measured. A rule that cannot be measured does not pass: it says so."
        return lab.stack(lab.findings(report), lab.prose(said), lab.Block(folded, folded))

    _block() if runs else lab.prose("")
    return


@app.cell
def _():
    lab.prose(r"""
    ### 2. The trace: how signal and gradient run

    *Tells samples apart* is the share of a layer's mean square that differs from sample to sample: near 0, the layer
    says the same of every input. A signal can stay level all the way and yet have lost everything that it should tell:
    biases alone keep it up.
    """)
    return


@app.cell
def _(look, runs):
    trace = [
        {
            "layer": site.path or "(model)",
            "operation": site.op,
            "signal (rms)": site.forward.rms,
            "tells samples apart": site.forward.variance_between / site.forward.mean_square
            if site.forward.mean_square
            else 0.0,
            "gradient (rms)": site.backward.rms if site.backward else float("nan"),
        }
        for site in (look["tape"] if runs else ())
        if site.forward is not None and any(look["tape"].sites[ref.site].kind == "parameter" for ref in site.inputs)
    ]
    lab.table(trace, "Every operation with parameters, in the order in which they run") if trace else lab.prose("")
    return (trace,)


@app.cell
def _(trace):
    _series = {
        "signal": [row["signal (rms)"] for row in trace],
        "differs between samples": [row["signal (rms)"] * sqrt(row["tells samples apart"]) for row in trace],
        "gradient": [row["gradient (rms)"] for row in trace],
    }
    lab.lines(
        [
            {"number of the operation": i + 1, "root mean square": value, "what": what}
            for what, values in _series.items()
            for i, value in enumerate(values)
        ],
        "number of the operation",
        "root mean square",
        by="what",
        says="Signal forward and gradient backward",
        log_y=True,
        height=220,
    ) if trace else lab.prose("")
    return


@app.cell
def _():
    lab.prose("### 3. The plan: how every parameter should start, and why")
    return


@app.cell
def _(look, runs):
    plan_rows = [
        {"parameter": name, "role": a.role, "law": look["plan"].describe(name), "reason": a.reason}
        for name, a in (look["plan"].items() if runs else ())
    ]
    left(lab.table(plan_rows, "gs.plan: role, law and reason of every parameter")) if runs else lab.prose("")
    return (plan_rows,)


@app.cell
def _(asked, look, runs, seed):
    after = None
    if runs:
        _planned = subject_of(asked["code"], asked["target"])
        look["plan"].apply(_planned.model, seed=seed.value)
        after = checked(_planned)
    lab.table(
        [
            {"start": name, "errors": r.count("error"), "warnings": r.count("warning"), "notes": r.count("note")}
            | {"codes": ", ".join(dict.fromkeys(f.code for f in r.findings)) or "none"}
            for name, r in (("as you built it", look["report"]), ("as planned", after))
        ],
        "Checked before and after plan.apply",
    ) if runs else lab.prose("")
    return (after,)


@app.cell
def _():
    lab.prose(r"""
    What remains after the plan is not a matter of the start: a loss that does not fit, a learning rate, a layer that
    is built wrong. The finding says what to write instead.

    ### 4. The code: the same start without gainstage
    """)
    return


@app.cell
def _(look, runs):
    lab.code(look["plan"].to_python()) if runs else lab.prose("")
    return


@app.cell
def _():
    lab.prose(r"""
    Things to try: leave `target` and `loss` out of the Subject, and see which rules fall silent; put `std=0.01` into
    the convolutions that stand before batch normalization, and see whether the check minds (lesson 10); write a slip
    into the code.
    """)
    return


@app.cell
def _():
    committed, commit = mo.state(None, allow_self_loops=True)
    return commit, committed


@app.cell
def _():
    OPTIONS = [
        "Nothing: a good start repairs both",
        "Only the finding about the start is gone",
        "Only the finding about the output is gone",
        "Both findings remain",
    ]
    TWO_FAULTS = SMALL_START.replace("*layers[:-1]", "*layers[:-1], nn.Softmax(dim=1)")
    prediction = lab.Predict(
        LESSON,
        """
        The fully connected network above starts too small, and its author also ended it with `nn.Softmax`, "because
        `cross_entropy` wants probabilities". Now `gs.initialize` gives every weight a good start. What does `gs.check`
        still find above a note?
        """.strip(),
        OPTIONS,
    )
    return OPTIONS, TWO_FAULTS, prediction


@app.cell
def _(commit, committed, prediction):
    prediction.ask(committed, commit)
    return


@app.cell
def _(OPTIONS, TWO_FAULTS):
    _subject = subject_of(TWO_FAULTS)
    before_start = {f.code: f for f in checked(_subject).findings}
    gs.initialize(_subject.model, _subject.example)
    after_start = {f.code: f for f in checked(_subject).findings if f.severity != "note"}
    _start = any(code.startswith("INI") for code in after_start)
    _output = any(code.startswith("OUT") for code in after_start)
    truth = OPTIONS[0 if not after_start else 1 if not _start else 2 if not _output else 3]
    return after_start, before_start, truth


@app.cell
def _(after_start, before_start, committed, prediction, truth):
    prediction.reveal(
        committed(),
        truth,
        lab.prose(
            f"Before: {', '.join(before_start)}. After: {', '.join(after_start) or 'none'}. "
            + " ".join(f"**{f.code}** {f.measured}. {f.message}" for f in after_start.values())
            + " A start is a choice of numbers; what the network computes with them it cannot repair."
        ),
    )
    return


@app.cell
def _():
    dead_units_tried, tell_dead_units = mo.state(None, allow_self_loops=True)
    return dead_units_tried, tell_dead_units


@app.cell
def _(tell_dead_units):
    exercise_dead_units = lab.exercises.widget("dead_units", mo)
    exercise_dead_units.ask(tell_dead_units)
    return (exercise_dead_units,)


@app.cell
def _(exercise_dead_units, dead_units_tried):
    exercise_dead_units.result(dead_units_tried())
    return


@app.cell
def _():
    graded, grade = mo.state(None, allow_self_loops=True)
    return grade, graded


@app.cell
def _(TWO_FAULTS):
    fix = lab.Fix(
        LESSON,
        """
        The network of the prediction, as code. Edit it until `gs.check` finds nothing above a note. Each finding names
        its place and what to write instead. A larger `std` alone will not do, and neither will a smaller learning rate.
        """.strip(),
        lambda code: subject_of(code),
        {"code": lab.Code(TWO_FAULTS)},
        {"code": "The network to repair"},
        train=lab.on_digits(),
    )
    return (fix,)


@app.cell
def _(fix, grade):
    fix.ask(grade)
    return


@app.cell
def _(fix, graded):
    fix.result(graded())
    return


@app.cell
def _():
    take_home = lab.take_home(
        LESSON,
        """
import torch, gainstage as gs

net, x = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh()), torch.randn(64, 8)
print(gs.check(net, x))              # or: gainstage check net.py:build
print(gs.plan(net, x).to_python())   # or: gainstage init net.py:build --emit start.py
""",
    )
    lab.stack(take_home)
    return (take_home,)


@app.cell
def _(look, night, runs):
    _cost = look["passes"] if runs else float("nan")
    lab.questions(
        {
            "What does a report without findings prove?": r"""
            That none of the measured rules found its fault on this batch, at this moment. It is no proof that training
            will succeed: the labels may be wrong, or the task too hard. The list of what was not measured says where
            it did not look.""",
            "Why does the check need a batch, and not only the code of the model?": r"""
            Code says which layers exist, a pass says which are used, in which order, behind which activation and how
            often. A weight that is used twice or reached through a function call is seen like any other. And levels,
            dead units or a signal that ignores its input are properties of numbers.""",
            f"A run has {night.value:,} updates. How small may the risk of a fault be for a check to pay?": rf"""
            Down to $c / T$ = {_cost} / {night.value:,} = {_cost / night.value:.3%}, if the check finds the fault. Who
            starts many runs pays the check once for each change of code, not once for each run.""",
            "Why does the plan give a reason for every parameter?": r"""
            So that it can be disputed. Where the reason does not hold for your network, replace the law:
            `plan.replace({name: law})`. A parameter whose use was not understood is named as such and left as it
            is.""",
            "Why does the emitted code not give the same numbers as plan.apply?": r"""
            The laws are the same, the random numbers are not: `plan.apply` draws each parameter from a stream of its
            own, by seed and name, whatever else is filled; plain PyTorch draws one after the other from one global
            generator.""",
        }
    )
    return


@app.cell
def _():
    lab.prose(r"""
    *Sources: Karpathy, A recipe for training neural networks, 2019 (check before training); Schoop, Huang & Hartmann,
    UMLAUT: debugging deep learning programs using program structure and model behavior, CHI 2021.*
    """)
    return


if __name__ == "__main__":
    app.run()
