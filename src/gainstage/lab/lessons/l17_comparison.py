# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Everything compared: a choice must be judged at its own best learning rate, with intervals."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="17. Everything compared · gainstage lab")

with app.setup:
    from collections import Counter
    from copy import deepcopy
    from dataclasses import replace
    from math import sqrt
    from statistics import mean, stdev

    import altair as alt
    import marimo as mo
    import torch
    from scipy.special import stdtrit
    from torch import nn
    from torch.nn.functional import cross_entropy

    import gainstage as gs
    from gainstage import lab

    LESSON = lab.lesson("l17_comparison")
    WIDTH, RATES = 32, (0.003, 0.01, 0.03)
    ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh, "selu": nn.SELU}


@app.cell
def _():
    lab.title(LESSON)
    return


@app.cell
def _():
    lab.prose(r"""
    By now you know a dozen ways to start, to normalize and to regularize a network. Each was shown where it helps. Do
    they help *here*, on this task, and by more than chance? Two rules make a comparison fair:

    1. **Every choice gets its own learning rate**, the best of a grid. At a common rate, the winner is the one whom
       the rate happens to suit.
    2. **Every number comes with an interval.** The same network trained from another seed gets another score.
    """)
    return


@app.cell
def _():
    committed, commit = mo.state(None, allow_self_loops=True)
    return commit, committed


@app.cell
def _():
    OPTIONS = ["About 1.6 times: the root of 5 / 2", "About 2.5 times: 5 / 2", "About 7 times", "About 20 times"]
    prediction = lab.Predict(
        LESSON,
        r"""
        Somebody saves time and runs two seeds in place of five. The scores scatter just as much, with the same standard
        deviation $s$. How many times as wide is the 95 % interval of the mean?
        """.strip(),
        OPTIONS,
    )
    return OPTIONS, prediction


@app.cell
def _(commit, committed, prediction):
    prediction.ask(committed, commit)
    return


@app.function
def half_width(count):
    """Half the 95 % interval of the mean of so many scores that have standard deviation 1."""
    scores = [float(i) for i in range(count)]
    _, low, high = gs.study.mean_interval([score / stdev(scores) for score in scores])
    return (high - low) / 2


@app.cell
def _(OPTIONS):
    times_as_wide = half_width(2) / half_width(5)
    truth = min(zip((sqrt(5 / 2), 5 / 2, 7, 20), OPTIONS, strict=True), key=lambda o: abs(o[0] - times_as_wide))[1]
    return times_as_wide, truth


@app.cell
def _(committed, prediction, times_as_wide, truth):
    prediction.reveal(
        committed(),
        truth,
        rf"""
        {times_as_wide:.2f} times. The root of $n$ gives {sqrt(5 / 2):.2f}; the rest is Student's $t$: two scores say
        next to nothing about their own scatter. $t_1$ = {stdtrit(1, 0.975):.1f} stands where $t_4$ =
        {stdtrit(4, 0.975):.2f} stood. With two seeds the half width is {half_width(2):.1f} $s$, with three
        {half_width(3):.1f} $s$, with five {half_width(5):.1f} $s$: the third seed buys more than all that follow.
        """,
    )
    return


@app.cell
def _():
    lab.prose(r"""
    ## The derivation: how sure is a mean of five?

    Train a network from $n$ seeds; the scores $s_1, \dots, s_n$ scatter with standard deviation $s$. Their mean
    $\bar s$ scatters less, by $s / \sqrt n$. As $s$ itself is estimated, the interval that covers the true mean in 95 %
    of all studies uses Student's $t$ in place of 1.96, for scores that are about normal:

    $$ \bar s \pm t_{n-1}\, \frac{s}{\sqrt n} $$

    To compare two choices $a$ and $b$, give both the same seeds: the same batches in the same order. What was luck for
    one is then partly luck for the other, and the *differences* $d_k = a_k - b_k$ scatter less:

    $$ \operatorname{Var}(d) = \operatorname{Var}(a) + \operatorname{Var}(b) - 2 \operatorname{Cov}(a, b) $$

    Who makes many comparisons finds something by chance alone: of 20 at the 5 % level, one in the mean, where there is
    nothing to find. Holm's method sorts the $m$ values of $p$ and multiplies the smallest by $m$, the next by $m - 1$,
    and so on. All verdicts below use it.
    """)
    return


@app.cell
def _():
    lab.prose("## The code")
    return


@app.function
def paired_by_hand(a, b):
    """Mean difference of two lists of scores over common seeds, and the ends of its 95 % interval."""
    differences = [x - y for x, y in zip(a, b, strict=True)]
    n = len(differences)
    half = float(stdtrit(n - 1, 0.975)) * stdev(differences) / sqrt(n)  # Student's t with n - 1 degrees of freedom
    return mean(differences), mean(differences) - half, mean(differences) + half


@app.cell
def _():
    lab.code(paired_by_hand)
    return


@app.cell
def _():
    lab.prose(r"""
    The library runs the whole study: it tunes, trains many small networks as one program, and judges:

    ```python
    arms = gs.grid(init=["he_normal", "auto"], norm=[None, "batch"])   # every combination
    results = gs.Study(arms=arms, data="digits", seeds=5).run()
    for verdict in results.verdicts():
        print(verdict.sentence)
    ```

    ## Measure it: every technique, one task

    One baseline, and every technique as one change of it. The task is small on purpose: few images of digits to learn
    from, so that regularization has something to do, and many to test on.
    """)
    return


@app.function
def few_digits():
    """300 digits to train on, 400 to choose the learning rate, all others for the test."""
    digits = lab.digits()
    x, y = torch.cat([digits.x, digits.test_x]), torch.cat([digits.y, digits.test_y])
    part = [gs.study.Split(x[i:j], y[i:j]) for i, j in ((0, 300), (300, 700), (700, None))]
    return gs.study.Data("300 digits", *part, classes=10)


@app.function
def techniques(more=False):
    """The baseline, and one arm for every technique; with `more`, also what takes longer."""
    base = gs.Arm(init="auto", optimizer="adamw", depth=4, width=WIDTH, batch_size=32, name="baseline")
    starts = ["normal(std=0.01)", "torch", "xavier_normal", "he_normal", "orthogonal"]
    norms = ["batch", "layer"]
    regularizers = [{"dropout": 0.2}, {"weight_decay": 0.1}, {"mixup": 0.4}, {"label_smoothing": 0.1}]
    if more:
        starts += ["lecun_normal", "xavier_uniform", "lsuv"]
        norms += ["rms", "group"]
        regularizers += [{"dropout": 0.2, "dropout_kind": "connect"}]
    return (
        base,
        *(replace(base, init=start, name=f"init {start}") for start in starts),
        *(replace(base, norm=norm, name=f"norm {norm}") for norm in norms),
        *(replace(base, **each, name=" ".join(str(part) for part in sum(each.items(), ()))) for each in regularizers),
    )


@app.function
def compared(seeds=5, steps=30, more=False):
    """The study: learning rates are chosen by seeds that are not reported, on images that are not in the test."""
    study = gs.Study(
        arms=techniques(more), data=few_digits(), seeds=seeds, steps=steps, looks=1, rates=RATES, margin=0.02
    )
    return study.run(executor=gs.study.Serial())


@app.cell
def _():
    longer = mo.ui.run_button(label="More techniques, 8 seeds, 250 steps (a minute or two)")
    lab.Block(mo.as_html(longer).text, "", [longer])
    return (longer,)


@app.cell
def _(longer):
    results = compared(seeds=8, steps=250, more=True) if longer.value else compared()
    return (results,)


@app.cell
def _(results):
    _a, _b = results.arms[0].scores, results.arms[1].scores
    by_hand = paired_by_hand(_a, _b)
    by_library = gs.study.paired(_a, _b)
    lab.readout(
        difference_by_hand=by_hand[0],
        by_the_library=by_library.difference,
        largest_difference_of_the_two=max(
            abs(h - v) for h, v in zip(by_hand, (by_library.difference, by_library.low, by_library.high), strict=True)
        ),
    )
    return by_hand, by_library


@app.cell
def _(results):
    lab.prose(rf"""
    {len(results.arms)} arms of {len(results.seeds)} seeds, {results.steps} steps each, all networks of 4 hidden layers
    of {WIDTH} units. Score: {results.score} on images that were seen neither in training nor in tuning. Who guesses
    gets {results.guess:.3f}.
    """)
    return


@app.cell
def _():
    seeds = lab.slider("seeds", 2, 5, 3, label="Seeds that are looked at")
    margin = lab.slider("margin", 0, 0.2, 0.02, label="Margin: the smallest difference that matters to you", step=0.01)
    lab.panel(seeds, margin)
    return margin, seeds


@app.function
def first_seeds(results, count, margin):
    """The same study as if only the first seeds had been run, and judged by another margin."""
    arms = tuple(replace(each, outcomes=each.outcomes[:count]) for each in results.arms)
    return replace(results, arms=arms, seeds=results.seeds[:count], margin=margin)


@app.cell
def _(margin, results, seeds):
    _count = len(results.seeds) if seeds.value == 5 else seeds.value
    seen = first_seeds(results, _count, margin.value)
    scores = [
        {
            "technique": arm.arm.name,
            "mean": own.mean,
            "low": own.low,
            "high": own.high,
            "learning rate": arm.lr,
            "failed": own.failures,
        }
        for arm, own in ((arm, seen.summary(i)) for i, arm in enumerate(seen.arms))
    ]
    return scores, seen


@app.function
def left(table):
    """A table of sentences: flush left."""
    made = table.text.replace("<td>", '<td style="text-align: left; min-width: 5rem; overflow-wrap: anywhere">')
    made = made.replace('<th scope="col">', '<th scope="col" style="text-align: left">')
    return lab.Block(made, made)


@app.function
def intervals(rows, says):
    """A point and its interval for every row, best first."""
    data = alt.Data(values=[row | {"low": max(row["low"], 0.0), "high": min(row["high"], 1.0)} for row in rows])
    order = [row["technique"] for row in sorted(rows, key=lambda row: -row["mean"])]
    y = alt.Y("technique", type="nominal", sort=order, title=None, axis=alt.Axis(labelLimit=200))
    tips = [alt.Tooltip("technique", type="nominal")]
    tips += [alt.Tooltip(key, type="quantitative", format=".3f") for key in ("mean", "low", "high")]
    rule = alt.Chart(data).mark_rule(strokeWidth=2, color="#0072b2")
    rule = rule.encode(x=alt.X("low", type="quantitative", title="test accuracy"), x2="high", y=y, tooltip=tips)
    point = alt.Chart(data).mark_point(filled=True, size=70, color="#d55e00")
    point = point.encode(x=alt.X("mean", type="quantitative"), y=y, tooltip=tips)
    return (rule + point).properties(
        width="container",
        height=24 * len(rows),
        title=alt.TitleParams(says, anchor="start", fontSize=13, limit=640),
        description=says,
        background="transparent",
        usermeta={"embedOptions": {"actions": False, "renderer": "svg"}},
    )


@app.cell
def _(scores):
    intervals(scores, "Test accuracy of every technique, mean and 95 % interval, cut at 0 and 1")
    return


@app.cell
def _(scores, seen):
    _answers = Counter(verdict.answer for verdict in seen.verdicts())
    lab.readout(
        half_width_of_the_widest_interval=max((row["high"] - row["low"]) / 2 for row in scores),
        questions_that_matter=_answers["matters"],
        that_do_not_matter=_answers["does not matter"],
        that_cannot_be_told=_answers["cannot tell"],
    )
    return


@app.cell
def _(seen):
    left(
        lab.table(
            [{"question": verdict.question, "answer": verdict.sentence} for verdict in seen.verdicts()],
            "What can be said about it",
        )
    )
    return


@app.cell
def _(scores):
    lab.table(scores, "The numbers of the chart, with the learning rate that each was given")
    return


@app.cell
def _(results):
    _drop = results.compare("dropout 0.2", "baseline")
    lab.prose(rf"""
    Things to find: with two seeds the intervals are so wide that almost nothing can be told; a wide margin turns
    "cannot tell" into "does not matter"; learning rates differ from row to row. And look at dropout: minus the baseline
    it is {_drop.difference:+.3f} (95 % interval {_drop.low:+.3f} to {_drop.high:+.3f}, all seeds), although the network
    could learn {len(few_digits().train.x)} images by heart. To be *able* to learn by heart is not yet to have done it:
    after {results.steps} steps there may be no overfitting to cure. What matters in short training need not matter in
    long: press the button above.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The chooser

    Which start, which normalization, which regularizer for *your* kind of network? The table of a textbook would be
    out of date, so this one is worked out for a small network of your choice:

    - **Normalization:** every candidate is built in and measured. *Check* are the rules above a note that `gs.check`
      finds with this batch. *Company* says how much the other samples of the batch change an answer in training mode:
      the spread of one sample's answers in different batches, over the spread between samples. *Forgives* says
      whether `gs.check` still finds nothing above a note when all weights start five times too small. Chosen is the
      first candidate that passes the check, keeps company below 1/4 and forgives; else the first that passes the first
      two. Candidates stand in the order in which the field tries them.
    - **Start:** what `gs.plan` plans for the network with that normalization, and its reasons.
    - **Regularizer:** every layer that can be built in is, behind the chosen normalization, and is checked. The first
      without a finding above a note is chosen. What does not depend on the architecture stands in the comparison above.
    """)
    return


@app.class_definition
class Branch(nn.Module):
    """x + branch(x)."""

    def __init__(self, *layers):
        super().__init__()
        self.branch = nn.Sequential(*layers)

    def forward(self, x):
        """Same shape."""
        return x + self.branch(x)


@app.class_definition
class Attention(nn.Module):
    """Self-attention of four heads."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 4, batch_first=True)

    def forward(self, x):
        """[n, positions, WIDTH], same shape."""
        return self.attention(x, x, x, need_weights=False)[0]


@app.class_definition
class Reader(nn.Module):
    """An LSTM that gives its last state."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(8, WIDTH, batch_first=True)

    def forward(self, x):
        """[n, positions, 8] to [n, WIDTH]."""
        return self.rnn(x)[0][:, -1]


@app.class_definition
class Mean(nn.Module):
    """The mean over the positions."""

    def forward(self, x):
        """[n, positions, WIDTH] to [n, WIDTH]."""
        return x.mean(1)


@app.cell
def _():
    # shape of a sample, normalizations and regularizers in the order in which the field tries them
    ARCHITECTURES = {
        "fully connected": ((64,), ("batch", "layer", None), {"dropout 0.2": lambda: gs.nn.Dropout(0.2)}),
        "convolutional": (
            (1, 8, 8),
            ("batch", "group", None),
            {"spatial dropout 0.1": lambda: gs.nn.SpatialDropout2d(0.1), "dropout 0.2": lambda: gs.nn.Dropout(0.2)},
        ),
        "residual": (
            (1, 8, 8),
            ("batch", "group", None),
            {"stochastic depth 0.1": lambda: gs.nn.DropPath(0.1), "dropout 0.2": lambda: gs.nn.Dropout(0.2)},
        ),
        "transformer": (
            (8, 8),
            ("layer", "rms", None),
            {"dropout 0.1": lambda: gs.nn.Dropout(0.1), "stochastic depth 0.1": lambda: gs.nn.DropPath(0.1)},
        ),
        "recurrent (LSTM)": ((8, 8), ("layer", "batch", None), {"dropout 0.2": lambda: gs.nn.Dropout(0.2)}),
    }
    return (ARCHITECTURES,)


@app.function
def network(architecture, activation, norm=None, drop=nn.Identity):
    """A small network of one kind."""
    act = ACTIVATIONS[activation]
    scale = (lambda: gs.nn.norm(norm, WIDTH)) if norm else nn.Identity
    head = nn.Linear(WIDTH, 10)

    def conv(channels=WIDTH):
        return nn.Conv2d(channels, WIDTH, 3, padding=1, bias=norm is None)

    if architecture == "fully connected":
        layers = [nn.Linear(64 if i == 0 else WIDTH, WIDTH, bias=norm is None) for i in range(8)]
        return nn.Sequential(*(part for layer in layers for part in (layer, scale(), act(), drop())), head)
    if architecture == "convolutional":
        layers = [conv(1 if i == 0 else WIDTH) for i in range(6)]
        body = [part for layer in layers for part in (layer, scale(), act(), drop())]
        return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    if architecture == "residual":
        blocks = [Branch(scale(), act(), conv(), scale(), act(), conv(), drop()) for _ in range(4)]
        return nn.Sequential(conv(1), *blocks, scale(), act(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    if architecture == "transformer":
        blocks = []
        for _ in range(3):
            wide = [nn.Linear(WIDTH, 2 * WIDTH), act(), nn.Linear(2 * WIDTH, WIDTH)]
            blocks += [Branch(scale(), Attention(), drop()), Branch(scale(), *wide, drop())]
        return nn.Sequential(nn.Linear(8, WIDTH), *blocks, scale(), Mean(), head)
    return nn.Sequential(Reader(), scale(), drop(), head)


@app.function
def started(*kind, shape):
    """The network, started by its plan."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = network(*kind)
    return model, gs.initialize(model, lab.digits().x[:64].view(-1, *shape))


@app.function
def harmed(model, shape, batch):
    """The rules above a note that gs.check finds with a batch of this size."""
    x, y = lab.digits().x[:batch].view(-1, *shape), lab.digits().y[:batch]
    found = gs.check(model, x, target=y, loss=cross_entropy).findings
    return list(dict.fromkeys(f.code for f in found if f.severity != "note"))


@app.function
def company(model, shape, batch):
    """Spread of one sample's answers over eight batches it is part of, over the spread between samples."""
    x, model = lab.digits().x.view(-1, *shape), deepcopy(model).train()
    with torch.no_grad():
        others = [x[1 + k * (batch - 1) : 1 + (k + 1) * (batch - 1)] for k in range(8)]
        answers = torch.stack([model(torch.cat([x[:1], part]))[0] for part in others])
        between = model(x[:256])
    return float((answers.var(0).mean() / between.var(0).mean()).sqrt())


@app.function
def norm_candidates(architecture, activation, batch, kind):
    """What is measured for every normalization, and whether it is chosen."""
    shape, norms, _ = kind
    rows = []
    for norm in norms:
        model, _plan = started(architecture, activation, norm, shape=shape)
        found, moved = harmed(model, shape, batch), company(model, shape, batch)
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(0.2 if weight.dim() > 1 else 1.0)
        forgives = not any(code.startswith(("INI", "FWD", "BWD")) for code in harmed(model, shape, batch))
        rows.append({"norm": norm or "none", "check": found, "company": moved, "forgives": forgives})
    fit = [row for row in rows if not row["check"] and row["company"] < 0.25]
    chosen = next((row for row in fit if row["forgives"]), fit[0] if fit else rows[-1])
    return [row | {"check": ", ".join(row["check"]) or "passes", "chosen": row is chosen} for row in rows]


@app.cell
def _(ARCHITECTURES):
    architecture = lab.dropdown("architecture", list(ARCHITECTURES), "fully connected", label="Architecture")
    activation = lab.dropdown("activation", list(ACTIVATIONS), "relu", label="Activation")
    batch = lab.slider("batch", 0, 1, 32, label="Batch size (samples)", steps=[2, 4, 8, 16, 32, 64, 128])
    lab.panel(architecture, activation, batch)
    return activation, architecture, batch


@app.cell
def _(ARCHITECTURES, activation, architecture, batch):
    norm_rows = norm_candidates(architecture.value, activation.value, batch.value, ARCHITECTURES[architecture.value])
    chosen_norm = next(row["norm"] for row in norm_rows if row["chosen"])
    lab.table(norm_rows, f"Normalization: {architecture.value}, batches of {batch.value}")
    return chosen_norm, norm_rows


@app.cell
def _(ARCHITECTURES, activation, architecture, chosen_norm):
    _norm = None if chosen_norm == "none" else chosen_norm
    _plan = started(architecture.value, activation.value, _norm, shape=ARCHITECTURES[architecture.value][0])[1]
    _weights = [(a.role, str(a.law), a.reason) for name, a in _plan.items() if len(_plan.shapes[name]) > 1]
    start_rows = [
        {"role": role, "law": law, "reason": reason, "weights": count}
        for (role, law, reason), count in Counter(_weights).items()
    ]
    left(lab.table(start_rows, f"Start: {architecture.value}, {activation.value}, normalization {chosen_norm}"))
    return (start_rows,)


@app.cell
def _(ARCHITECTURES, activation, architecture, batch, chosen_norm):
    _shape, _, _drops = ARCHITECTURES[architecture.value]
    regularizer_rows = [
        {"regularizer": name, "check": ", ".join(harmed(_model, _shape, batch.value)) or "passes"}
        for name, _model in (
            (
                name,
                started(
                    architecture.value,
                    activation.value,
                    None if chosen_norm == "none" else chosen_norm,
                    drop,
                    shape=_shape,
                )[0],
            )
            for name, drop in _drops.items()
        )
    ]
    chosen_regularizer = next(
        (row["regularizer"] for row in regularizer_rows if row["check"] == "passes"), "none of these layers"
    )
    lab.table(regularizer_rows, f"Regularizers behind {chosen_norm} normalization")
    return chosen_regularizer, regularizer_rows


@app.cell
def _(activation, architecture, batch, chosen_norm, chosen_regularizer, norm_rows, results, start_rows):
    _row = next(row for row in norm_rows if row["chosen"])
    _others = [a.arm.name for a in results.arms if not a.arm.name.startswith(("baseline", "init", "norm"))]
    _better = [v for v in (results.compare("baseline", name) for name in _others) if v.high < 0]
    _said = ", ".join(f"{v.b} (by {-v.difference:.3f}, {-v.high:.3f} to {-v.low:.3f})" for v in _better)
    lab.note(
        "info",
        lab.prose(rf"""
        **{architecture.value}, {activation.value}, batches of {batch.value}.**
        Start: `gs.initialize`, which takes {", ".join(dict.fromkeys(row["law"] for row in start_rows))}.
        Normalization: **{chosen_norm}**: its company is {_row["company"]:.3f}, and it
        {"forgives" if _row["forgives"] else "does not forgive"} a start five times too small.
        Regularizer: **{chosen_regularizer}**. Of the regularizers of the comparison above, these helped one by one
        beyond the 95 % interval: {_said or "none"}.
        """),
    )
    return


@app.cell
def _():
    interval_tried, tell_interval = mo.state(None, allow_self_loops=True)
    return interval_tried, tell_interval


@app.cell
def _(tell_interval):
    exercise_interval = lab.exercises.widget("interval", mo)
    exercise_interval.ask(tell_interval)
    return (exercise_interval,)


@app.cell
def _(exercise_interval, interval_tried):
    exercise_interval.result(interval_tried())
    return


@app.cell
def _():
    graded, grade = mo.state(None, allow_self_loops=True)
    return grade, graded


@app.cell
def _():
    def build(norm, start, samples, regularizer):
        """A fully connected network with its batch."""
        drop = nn.Identity if regularizer == "none" else lambda: gs.nn.Dropout(0.5)
        shape = (64,)
        model, _plan = started("fully connected", "relu", None if norm == "none" else norm, drop, shape=shape)
        if start == "normal, std 0.01":
            gs.initialize(model, lab.digits().x[:64], scheme=gs.init.normal(std=0.01))
        count = int(samples)
        return gs.Subject(model, lab.digits().x[:count], lab.digits().y[:count], cross_entropy)

    fix = lab.Fix(
        LESSON,
        """
        Somebody took the winner of every table: batch normalization, because it forgives any start; therefore weights
        of standard deviation 0.01; and batches of two, because small batches generalize. Each choice has its reasons.
        Choose a *combination* with which `gs.check` finds nothing above a note.
        """.strip(),
        build,
        {
            "norm": ["batch", "none", "layer"],
            "start": ["normal, std 0.01", "gs.initialize"],
            "samples": ["2", "64"],
            "regularizer": ["none", "dropout 0.5"],
        },
        {"norm": "Normalization", "samples": "Samples in a batch"},
        train=lab.on_digits(batch=None, needed=0.6),
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
import gainstage as gs

arms = gs.grid(init=["torch", "auto"], depth=4, width=16, lr=0.01)   # default: lr="tuned"
study = gs.Study(arms=arms, data="wine", seeds=3, steps=30)
print(study.run(executor=gs.study.Serial()).verdicts()[0].sentence)
""",
    )
    lab.stack(take_home)
    return (take_home,)


@app.cell
def _(by_library, results):
    _apart = stdev(results.arms[0].scores) ** 2 + stdev(results.arms[1].scores) ** 2
    lab.questions(
        {
            "Two intervals overlap. Does that mean that the two choices do not differ?": rf"""
            No. Look at the interval of the *difference*. With common seeds it is often narrower than the two intervals
            suggest. For the baseline and the second arm here, the differences scatter by {by_library.spread:.4f}; as
            if the seeds were not common it would be {sqrt(_apart):.4f}. (Where it is larger, luck was not shared.)""",
            "What is the difference between 'does not matter' and 'cannot tell'?": r"""
            'Does not matter' is a positive result: the whole interval lies within your margin around 0. 'Cannot tell'
            means that the interval is too wide for either answer; the sentence says how many seeds would tell.""",
            "Why are the seeds that choose the learning rate not reported?": r"""
            The best of several rates looks better than it is: its luck was selected with it. New seeds, and a test part
            that took no part in the choice, do not know of that luck.""",
            "Why is batch normalization not chosen for batches of two?": r"""
            Mean and variance of two values say more about the two than about the data: a sample's answer then depends
            on who else is in the batch. That is what the column *company* measures.""",
            "The verdict here says that a technique does not help. May you leave it out of your own project?": r"""
            Not on this evidence. The verdict is about this task, this size and this length of training. It says how to
            ask: the same study with your model and your data is a few lines.""",
        }
    )
    return


@app.cell
def _():
    lab.prose(r"""
    *Sources: Holm, A simple sequentially rejective multiple test procedure, 1979; Bouthillier et al., Accounting for
    variance in machine learning benchmarks, MLSys 2021; Agarwal et al., Deep RL at the edge of the statistical
    precipice, NeurIPS 2021; Wu & He, Group normalization, ECCV 2018 (small batches); Li et al., Understanding the
    disharmony between dropout and batch normalization, CVPR 2019.*
    """)
    return


if __name__ == "__main__":
    app.run()
