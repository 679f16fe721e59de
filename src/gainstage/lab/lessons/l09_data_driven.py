# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Starting from data: where theory cannot follow the network, one batch must do."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="9. Starting from data · gainstage lab")

with app.setup:
    import marimo as mo
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    import gainstage as gs
    from gainstage import lab

    LESSON = lab.lesson("l09_data_driven")
    WIDTH, STEPS, RATE, TOLERANCE = 64, 60, 0.05, 0.01


@app.cell
def _():
    lab.title(LESSON)
    return


@app.cell
def _():
    lab.prose(r"""
    Lessons 3 to 7 *computed* the right scale. That needs to know what stands behind a weight: an activation with a
    known
    gain, independent inputs, data of a known size. Real networks hold maxima over groups of units, averages, gates,
    pixels on any scale. Nobody has to derive them all: run one batch, look at the level, divide by it.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The derivation

    A layer without bias is linear in its weight: $(sW)x = s\,(Wx)$. If the level behind $W$ is measured to be $r$,
    then the weight $W / r$ has the level

    $$\left\lVert \tfrac{1}{r} W x \right\rVert_{\text{rms}} = \frac{r}{r} = 1$$

    on this batch: **exactly**, by one division, whatever the data and whatever follows. Only the order matters: a
    weight
    must be measured when everything before it is already rescaled.

    *LSUV* (layer-sequential unit variance) does this layer by layer: start orthogonal, run the batch, divide by the
    standard deviation, and repeat until it is 1 within a tolerance. The repetition is not needed: after one division
    the
    next run can only confirm it. And the runs are not needed either: rescale each weight **while** one pass goes by,
    and rescale the output that it has just made, so that the next layer sees it corrected. $L$ layers then cost one
    pass instead of about $2L$.

    Two small differences: the paper makes the *variance* 1, the library the *mean square*, which is what a layer hands
    on (lesson 3). And what no such method does: it sets one number a layer. It does not make directions alike (lesson
    7), and it does not separate samples that have become the same. """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The code

    LSUV by hand, as the paper has it:
    """)
    return


@app.function
@torch.no_grad()
def lsuv_by_hand(model, x, tolerance=TOLERANCE, most=10):
    """Makes the variance behind every weight of a chain 1 within the tolerance; the number of forward passes."""
    passes = 0
    for position, layer in enumerate(model):
        if not isinstance(layer, nn.Linear):
            continue
        for _ in range(most):
            spread = model[: position + 1](x).std()
            passes += 1
            if abs(spread**2 - 1) < tolerance:
                break
            layer.weight /= spread
    return passes


@app.class_definition
class FoursOf(nn.Module):
    """One number for every four units: the largest (maxout) or the mean of them."""

    def __init__(self, largest):
        super().__init__()
        self.largest = largest

    def forward(self, x):
        """A quarter as many units."""
        fours = x.unflatten(-1, (-1, 4))
        return fours.amax(-1) if self.largest else fours.mean(-1)


@app.function
def chain(depth, kind, normalized=False):
    """A chain from the pixels of a digit to ten scores, without biases."""
    phi = {"relu": nn.ReLU, "tanh": nn.Tanh}.get(kind)
    layers, fan_in, made = [], 64, WIDTH if phi else 4 * WIDTH
    for _ in range(depth - 1):
        layers.append(nn.Linear(fan_in, made, bias=False))
        layers += [nn.BatchNorm1d(made)] if normalized else []
        layers += [phi()] if phi else [FoursOf(kind == "largest of four")]
        fan_in = WIDTH
    return nn.Sequential(*layers, nn.Linear(fan_in, 10, bias=False))


@app.function
def levels(model, x):
    """Root mean square behind every weight."""
    return [site.forward.rms for site in gs.record(model, x, backward=False) if site.op == "linear"]


@app.cell
def _():
    lab.code(lsuv_by_hand)
    return


@app.cell
def _():
    lab.prose(r"""
    The library, for any model, in one pass:

    ```python
    plan = gs.initialize(model, batch, scheme=gs.init.orthogonal(), calibrate=True)
    ```

    Both are run on a tanh network of 12 layers, where mean square and variance are nearly the same:
    """)
    return


@app.cell
def _():
    _x, _hand, _library = lab.digits().x[:256], chain(12, "tanh"), chain(12, "tanh")
    gs.initialize(_hand, _x, scheme=gs.init.orthogonal())
    passes_by_hand = lsuv_by_hand(_hand, _x)
    calibrated = gs.initialize(_library, _x, scheme=gs.init.orthogonal(), calibrate=True)
    off_by_hand = max(abs(v - 1) for v in levels(_hand, _x))
    off_by_library = max(abs(v - 1) for v in levels(_library, _x))
    lab.readout(
        forward_passes_by_hand=passes_by_hand,
        largest_distance_from_1_by_hand=off_by_hand,
        largest_distance_from_1_by_library=off_by_library,
    )
    return calibrated, off_by_hand, off_by_library, passes_by_hand


@app.cell
def _(calibrated):
    lab.prose(rf"""
    The plan holds what was done, as a law with its scale: the second weight is now
    `{calibrated["2.weight"].law}`, because: {calibrated["2.weight"].reason}.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## Measure it

    Both start from the same orthogonal weights and look at the same few images. The levels are then measured on
    **other** images, the test set. Take a small batch to see what a batch that does not stand for the data does.
    """)
    return


@app.cell
def _():
    depth = lab.slider("depth", 2, 30, 12, label="Depth (layers)")
    batch = lab.slider("batch", 0, 1, 64, label="Images that calibrate", steps=[2, 4, 8, 16, 64, 256])
    contrast = lab.slider("contrast", 0, 1, 1.0, label="Scale of the data", steps=[0.01, 0.1, 1.0, 10.0, 100.0])
    kind = lab.dropdown(
        "kind", ["relu", "tanh", "largest of four", "mean of four"], "largest of four", label="Behind every weight"
    )
    lab.panel(depth, batch, contrast, kind)
    return batch, contrast, depth, kind


@app.cell
def _(batch, contrast, depth, kind):
    _x, _other = contrast.value * lab.digits().x[: batch.value], contrast.value * lab.digits().test_x
    starts = {}
    for _name, _scheme, _calibrate in (
        ("he_normal, by theory of ReLU", "he_normal", False),
        ("orthogonal", gs.init.orthogonal(), False),
        ("one pass: calibrate=True", gs.init.orthogonal(), True),
    ):
        _model = chain(depth.value, kind.value)
        gs.initialize(_model, _x, scheme=_scheme, calibrate=_calibrate)
        starts[_name] = levels(_model, _other)
    _model = chain(depth.value, kind.value)
    gs.initialize(_model, _x, scheme=gs.init.orthogonal())
    passes = lsuv_by_hand(_model, _x)
    starts["LSUV by hand"] = levels(_model, _other)
    return passes, starts


@app.cell
def _(passes, starts):
    lab.readout(
        last_level_he_normal=starts["he_normal, by theory of ReLU"][-1],
        last_level_one_pass=starts["one pass: calibrate=True"][-1],
        last_level_by_hand=starts["LSUV by hand"][-1],
        passes_by_hand=passes,
    )
    return


@app.cell
def _(starts):
    lab.lines(
        [
            {"layer": i + 1, "root mean square": v, "start": name}
            for name, series in starts.items()
            for i, v in enumerate(series)
        ],
        "layer",
        "root mean square",
        by="start",
        says="Levels on images that did not calibrate",
        log_y=True,
    )
    return


@app.cell
def _():
    lab.prose(r"""
    Things to find: with *relu* and data of scale 1, theory is right and calibration gains little; with *largest of
    four*
    or *mean of four* the theory of ReLU is wrong in every layer and one batch repairs it; data of scale 100 make no
    difference to a calibrated network; two images are too few, and 64 are enough. By hand the variance is 1 and the
    mean
    square a little more, where the signal has a mean.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## When it does not matter

    Behind a weight stands a batch normalization: it subtracts the mean and divides by the standard deviation of the
    batch. Multiply the weight by $s$, and both are multiplied by $s$:

    $$\mathrm{BN}(s\,Wx) = \frac{sWx - s\mu}{\sqrt{s^2\sigma^2 + \epsilon}} \approx \mathrm{BN}(Wx)$$

    The scale is divided away, whether it came from theory or from data. Below, every start is trained without and with
    normalization.
    """)
    return


@app.cell
def _():
    SEEDS = 2
    ARMS = {
        "normal, std 0.03": (gs.init.normal(std=0.03), False),
        "he_normal": ("he_normal", False),
        "orthogonal": (gs.init.orthogonal(), False),
        "one pass": (gs.init.orthogonal(), True),
    }
    accuracies = []
    for _normalized in (False, True):
        _models = []
        for _scheme, _calibrate in ARMS.values():
            for _seed in range(SEEDS):
                _models.append(chain(12, "relu", _normalized))
                gs.initialize(_models[-1], lab.digits().x[:256], seed=_seed, scheme=_scheme, calibrate=_calibrate)
        gs.train.fit_many(
            _models,
            lab.digits().x,
            lab.digits().y,
            loss=cross_entropy,
            lr=RATE,
            steps=STEPS,
            batch_size=64,
            optimizer=torch.optim.SGD,
            options={"momentum": 0.9},
            seeds=list(range(SEEDS)) * len(ARMS),
        )
        for _i, _name in enumerate(ARMS):
            _reached = [
                gs.train.accuracy(m, lab.digits().test_x, lab.digits().test_y)
                for m in _models[_i * SEEDS : (_i + 1) * SEEDS]
            ]
            accuracies.append(
                {
                    "start": _name,
                    "network": "with batch normalization" if _normalized else "plain",
                    "test accuracy": sum(_reached) / SEEDS,
                }
            )
    return SEEDS, accuracies


@app.cell
def _(SEEDS, accuracies):
    lab.bars(
        accuracies,
        "start",
        "test accuracy",
        by="network",
        says=f"12 ReLU layers, {STEPS} steps of SGD with momentum, mean of {SEEDS} seeds",
    )
    return


@app.cell
def _(accuracies):
    _plain = {row["start"]: row["test accuracy"] for row in accuracies if row["network"] == "plain"}
    _range = {}
    for _row in accuracies:
        _range.setdefault(_row["network"], []).append(_row["test accuracy"])
    differences = {name: max(reached) - min(reached) for name, reached in _range.items()}
    lab.prose(rf"""
    Between the best and the worst start lie {100 * differences["plain"]:.0f} points of accuracy without normalization,
    and
    {100 * differences["with batch normalization"]:.0f} with it. The library knows: of the first weight of the
    normalized network its plan says "{gs.plan(chain(3, "relu", True), lab.digits().x[:64])["0.weight"].reason}".

    Note the plain networks too: one pass from orthogonal weights lifts them from {_plain["orthogonal"]:.0%} to
    {_plain["one pass"]:.0%}, and He's law, which knows that ReLU follows, reaches {_plain["he_normal"]:.0%}. Where
    theory applies, data add nothing. What is left of the difference behind the normalization has a reason of its own:
    the prediction below finds it.
    """)
    return (differences,)


@app.cell
def _():
    committed, commit = mo.state(None, allow_self_loops=True)
    return commit, committed


@app.cell
def _():
    FACTOR = 1000
    OPTIONS = ["By less than 1 %", "By 1 % to 100 %", f"By a lot: it multiplies with {FACTOR} in every layer"]
    prediction = lab.Predict(
        LESSON,
        f"""
        A network of 6 layers has a batch normalization behind every hidden weight. All these weights are
        multiplied by {FACTOR} before training. By how much do its scores change, in training mode, on the same batch?
        """.strip(),
        OPTIONS,
    )
    return FACTOR, OPTIONS, prediction


@app.cell
def _(commit, committed, prediction):
    prediction.ask(committed, commit)
    return


@app.cell
def _(FACTOR, OPTIONS):
    def _network(factor, rate):
        model = chain(6, "relu", normalized=True)
        gs.initialize(model, lab.digits().x[:256], scheme="he_normal")
        hidden, others = [], [*model[-1].parameters()]
        for layer in model[:-1]:
            (hidden if isinstance(layer, nn.Linear) else others).extend(layer.parameters())
        with torch.no_grad():
            for weight in hidden:
                weight *= factor
        sgd = torch.optim.SGD([{"params": others}, {"params": hidden, "lr": rate}], lr=RATE)
        return model, sgd

    def _seen(factor, rate):
        digits, (model, sgd) = lab.digits(), _network(factor, rate)
        with torch.no_grad():
            scores = model(digits.x[:256])
        tape = gs.record(model, digits.x[:256], target=digits.y[:256], loss=cross_entropy)
        batches = gs.train.minibatches(digits.x, digits.y, batch_size=64, steps=20, seed=0)
        run = gs.train.fit(model, batches, loss=cross_entropy, optimizer=sgd)
        return scores, tape.parameter("0.weight").backward.rms, run.losses[-1]

    _scores, _gradient, last_loss = _seen(1, RATE)
    _scaled_scores, _scaled_gradient, last_loss_same_rate = _seen(FACTOR, RATE)
    _, _, last_loss_scaled_rate = _seen(FACTOR, RATE * FACTOR**2)
    change = float((_scaled_scores - _scores).square().mean().sqrt() / _scores.square().mean().sqrt())
    gradient_factor = _scaled_gradient / _gradient
    truth = OPTIONS[0] if change < 0.01 else OPTIONS[1] if change < 1 else OPTIONS[2]
    return change, gradient_factor, last_loss, last_loss_same_rate, last_loss_scaled_rate, truth


@app.cell
def _(
    FACTOR,
    change,
    committed,
    gradient_factor,
    last_loss,
    last_loss_same_rate,
    last_loss_scaled_rate,
    prediction,
    truth,
):
    prediction.reveal(
        committed(),
        truth,
        rf"""
        By {change:.1e} of their size, the trace of $\epsilon$. The scale does leave one mark: the gradient of the first
        weight is {gradient_factor:.4g} times as large, and the weight {FACTOR} times, so one step of the same learning
        rate turns it $1/{FACTOR}^2$ as far. After 20 steps the loss is {last_loss:.4g} at scale 1,
        {last_loss_same_rate:.4g} at scale {FACTOR}, and {last_loss_scaled_rate:.4g} at scale {FACTOR} with the hidden
        learning rate multiplied by ${FACTOR}^2$. Behind a normalization the scale of a weight is a learning rate in
        disguise, and nothing else.
        """,
    )
    return


@app.cell
def _():
    graded, grade = mo.state(None, allow_self_loops=True)
    return grade, graded


@app.cell
def _():
    def build(law, calibrate):
        """Twenty layers of maxout: the largest of every four units goes on."""
        digits, model = lab.digits(), chain(20, "largest of four")
        images = {"no": 256, "on 2 images": 2, "on 256 images": 256}[calibrate]
        gs.initialize(model, digits.x[:images], scheme=law, calibrate=calibrate != "no")
        return gs.Subject(model, digits.x[:256], digits.y[:256], cross_entropy)

    fix = lab.Fix(
        LESSON,
        """
        Twenty layers, and behind every weight the **largest of four** units goes on (maxout). Somebody took He's law,
        as
        for ReLU. Find a start with which `gs.check` finds nothing above a note.
        """.strip(),
        build,
        {"law": ["he_normal", "lecun_normal", "normal"], "calibrate": ["no", "on 2 images", "on 256 images"]},
        {"law": "Law", "calibrate": "Calibrate"},
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

model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Mish(), torch.nn.Linear(64, 10))
gs.initialize(model, torch.randn(256, 64), calibrate=True)   # one pass over one batch
""",
    )
    lab.stack(take_home)
    return (take_home,)


@app.cell
def _(passes_by_hand):
    lab.questions(
        {
            "Why is one division enough, although a network is not linear?": r"""
            Because the *layer* is linear in its own weight, and what it reads does not depend on that weight. The
            nonlinearity comes behind the place where the level is measured.""",
            "Why must the layers be taken in the order in which they run?": r"""
            A rescaled weight changes the input of every later one. The order is that of the *run*, not that in which
            the modules were written down; a recorded pass knows it.""",
            "What does the repeated LSUV pay for?": rf"""
            {passes_by_hand} forward passes for 12 layers in the example above: about one to measure and one to confirm,
            a layer. One pass that rescales while it runs reaches the same.""",
            "How large must the batch be?": r"""
            Large enough that its level stands for the data's. The level averages over samples *and* units, so a few
            dozen samples usually do; with two, the slider shows the error, and it adds up with depth.""",
            "A calibrated network has level 1 everywhere. Can it still be untrainable?": r"""
            Yes. If all samples are nearly equal behind layer 40, they are so at level 1 too: scale cannot separate
            them.
            It also fixes the level *forward*; the gradient follows only as far as theory ties the two together.""",
            "When is calibration of no use?": r"""
            Where a normalization divides the scale away, and where theory is already right. It costs one pass, so it
            does no harm; it is just not the reason why such a network trains.""",
        }
    )
    return


@app.cell
def _():
    lab.prose(r"""
    *Sources: Mishkin & Matas 2016 (LSUV); Krähenbühl et al. 2016 (data-dependent initialization); Goodfellow et al.
    2013
    (maxout); van Laarhoven 2017 (scale and effective learning rate behind batch normalization).*
    """)
    return


if __name__ == "__main__":
    app.run()
