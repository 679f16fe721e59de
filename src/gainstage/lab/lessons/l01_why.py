# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Why the start matters: before the first update, the loss must be able to reach every weight."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="1. Why the start matters · gainstage lab")

with app.setup:
    from itertools import pairwise
    from math import log

    import marimo as mo
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    import gainstage as gs
    from gainstage import lab

    LESSON = lab.lesson("l01_why")
    WIDTH, BATCH, STEPS = 64, 64, 100
    STARTS = {
        "normal, std 0.01": gs.init.normal(std=0.01),
        "PyTorch's default": "torch",
        "normal, std 1": gs.init.normal(std=1.0),
        "he_normal": gs.init.he_normal(),
        "gs.initialize": "auto",
    }


@app.cell
def _():
    lab.title(LESSON)
    return


@app.cell
def _():
    lab.prose(r"""
    A network learns by small steps downhill from the place where it starts. Two networks with the same layers, the same
    data and the same optimizer can differ in nothing but that place, and one learns while the other does not. This
    lesson shows the training loop with nothing hidden, and lets you choose the place.
    """)
    return


@app.cell
def _(data):
    lab.prose(rf"""
    ## The derivation: one step

    The data are {len(data.x) + len(data.test_x):,} images of handwritten digits, {data.x.shape[1]} pixels each;
    {len(data.test_x)} of them are kept for the test. Training repeats four things:

    1. **Forward.** Layer by layer, $h_l = W_l\,\phi(h_{{l-1}}) + b_l$; the last layer gives ten scores for every image.
    2. **Cost.** The cross-entropy $C = -\log p(\text{{right digit}})$, averaged over the batch. Who knows nothing gives
       every digit the same share and pays $\ln {data.y.max() + 1} = {log(data.y.max() + 1):.3f}$.
    3. **Backward.** The chain rule carries the cost's derivative back through the same layers:
       $\frac{{\partial C}}{{\partial h_{{l-1}}}} = \phi'(h_{{l-1}}) \odot W_l^\top \frac{{\partial C}}{{\partial
       h_l}}$, and $\frac{{\partial C}}{{\partial W_l}} = \frac{{\partial C}}{{\partial h_l}}\,\phi(h_{{l-1}})^\top$.
    4. **Update.** $W_l \leftarrow W_l - \eta\,\frac{{\partial C}}{{\partial W_l}}$ with the learning rate $\eta$.

    Look at line 3: the gradient of a weight is a product of what came *forward* and what came *back*. Where either has
    shrunk to nothing on its way through the layers, the update is nothing, whatever the learning rate would like.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The code

    By hand, one step a batch, in the order of the list above:
    """)
    return


@app.function
def train_by_hand(model, batches, rate):
    """Plain gradient descent; the cost of every step, before its update."""
    costs = []
    for x, y in batches:
        scores = model(x)  # forward
        cost = cross_entropy(scores, y)  # cost
        gradients = torch.autograd.grad(cost, list(model.parameters()))  # backward
        with torch.no_grad():
            for weight, gradient in zip(model.parameters(), gradients, strict=True):
                weight -= rate * gradient  # update
        costs.append(cost.item())
    return costs


@app.function
def network(depth, start, seed=0):
    """A plain ReLU network for the digits, its weights filled by one of the starts, its biases as PyTorch has them."""
    sizes = [64] + [WIDTH] * (depth - 1) + [10]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = []
        for fan_in, fan_out in pairwise(sizes):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        model = nn.Sequential(*layers[:-1])
    gs.initialize(model, lab.digits().x[:BATCH], scheme=STARTS[start], seed=seed)
    return model


@app.function
def batches(seed=0, steps=STEPS):
    """The same batches in the same order for every start."""
    digits = lab.digits()
    return gs.train.minibatches(digits.x, digits.y, batch_size=BATCH, steps=steps, seed=seed)


@app.cell
def _():
    lab.code(train_by_hand)
    return


@app.cell
def _():
    lab.prose(r"""
    The library's loop does the same and takes any optimizer:

    ```python
    sgd = torch.optim.SGD(model.parameters(), lr=rate)
    run = gs.train.fit(model, batches, loss=cross_entropy, optimizer=sgd)
    ```

    Both are run from the same start on the same batches:
    """)
    return


@app.cell
def _():
    _by_hand = train_by_hand(network(4, "he_normal"), batches(steps=20), 0.05)
    _model = network(4, "he_normal")
    _sgd = torch.optim.SGD(_model.parameters(), lr=0.05)
    _run = gs.train.fit(_model, batches(steps=20), loss=cross_entropy, optimizer=_sgd)
    loops_differ_by = max(abs(a - b) for a, b in zip(_by_hand, _run.losses, strict=True))
    lab.readout(
        cost_by_hand_after_20_steps=_by_hand[-1],
        cost_by_gs_train_fit=_run.losses[-1],
        largest_difference=loops_differ_by,
    )
    return (loops_differ_by,)


@app.cell
def _():
    lab.prose(rf"""
    ## Measure it

    A plain ReLU network, {WIDTH} units a layer, trained for {STEPS} steps of {BATCH} images by plain gradient descent:
    once from the start that you choose and once from the one that `gs.initialize` plans for it.
    """)
    return


@app.cell
def _():
    data = lab.digits()
    return (data,)


@app.cell
def _():
    depth = lab.slider("depth", 2, 20, 10, label="Depth (layers)")
    start = lab.dropdown("start", list(STARTS), "normal, std 0.01", label="Start")
    rate = lab.slider("rate", 0, 1, 0.05, label="Learning rate", steps=[0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5])
    seed = lab.slider("seed", 0, 10, 0, label="Seed")
    lab.panel(depth, start, rate, seed)
    return depth, rate, seed, start


@app.cell
def _(data, depth, seed, start):
    _model = network(depth.value, start.value, seed.value)
    _tape = gs.record(_model, data.x[:256], target=data.y[:256], loss=cross_entropy)
    first_pass = [
        {"layer": i + 1, "forward": site.forward.rms, "backward": site.backward.rms}
        for i, site in enumerate(site for site in _tape if site.op == "linear")
    ]
    first_cost = _tape.loss
    return first_cost, first_pass


@app.cell
def _(first_cost, first_pass):
    lab.readout(
        cost_before_the_first_step=first_cost,
        signal_last_over_first=first_pass[-1]["forward"] / first_pass[0]["forward"],
        gradient_first_over_last=first_pass[0]["backward"] / first_pass[-1]["backward"],
    )
    return


@app.cell
def _(first_pass):
    lab.lines(
        [
            {"layer": row["layer"], "root mean square": row[way], "pass": way}
            for way in ("forward", "backward")
            for row in first_pass
        ],
        "layer",
        "root mean square",
        by="pass",
        says="Before the first step: signal forward, gradient backward",
        log_y=True,
        height=200,
    )
    return


@app.function
def trained(depth, start, rate, seed=0):
    """The losses and the test accuracy of a run from one start."""
    digits, model = lab.digits(), network(depth, start, seed)
    sgd = torch.optim.SGD(model.parameters(), lr=rate)
    run = gs.train.fit(model, batches(seed), loss=cross_entropy, optimizer=sgd)
    return run.losses, gs.train.accuracy(model, digits.test_x, digits.test_y)


@app.cell
def _(depth, rate, seed, start):
    runs = {
        f"your start: {start.value}": trained(depth.value, start.value, rate.value, seed.value),
        "planned start: gs.initialize": trained(depth.value, "gs.initialize", rate.value, seed.value),
    }
    return (runs,)


@app.cell
def _(runs):
    _yours, _planned = runs.values()
    lab.readout(
        test_accuracy_from_your_start=f"{_yours[1]:.1%}", test_accuracy_from_the_planned_start=f"{_planned[1]:.1%}"
    )
    return


@app.cell
def _(runs):
    lab.lines(
        [
            {"step": i, "cost (nats)": cost, "start": name}
            for name, (losses, _) in runs.items()
            for i, cost in enumerate(losses)
            if i % 2 == 0
        ],
        "step",
        "cost (nats)",
        by="start",
        says="The cost while training",
        points=False,
    )
    return


@app.cell
def _(data):
    _guess = log(data.y.max() + 1)
    lab.prose(rf"""
    A cost that stays at {_guess:.3f} has learned nothing: it is what guessing costs. A cost that starts far above it
    comes
    from scores that are large before anything is known. Move the depth: a start that works at depth 3 need not work
    at 15, and no learning rate repairs it. Where the curve ends early, the cost was no longer a finite number.
    """)
    return


@app.cell
def _():
    committed, commit = mo.state(None, allow_self_loops=True)
    return commit, committed


@app.cell
def _():
    DEPTH, RATE = 10, 0.05
    OPTIONS = ["Like guessing: under 20 %", "In between: 20 to 70 %", "It works: over 70 %"]
    prediction = lab.Predict(
        LESSON,
        f"""
        A {DEPTH}-layer ReLU network starts with all its weights drawn with standard deviation 0.01, small and
        harmless. It is trained for {STEPS} steps at learning rate {RATE}. What is its test accuracy?
        """.strip(),
        OPTIONS,
    )
    return DEPTH, OPTIONS, RATE, prediction


@app.cell
def _(commit, committed, prediction):
    prediction.ask(committed, commit)
    return


@app.cell
def _(DEPTH, OPTIONS, RATE):
    _, reached = trained(DEPTH, "normal, std 0.01", RATE)
    _, reached_planned = trained(DEPTH, "gs.initialize", RATE)
    truth = OPTIONS[0] if reached < 0.2 else OPTIONS[1] if reached < 0.7 else OPTIONS[2]
    _small = gs.record(network(DEPTH, "normal, std 0.01"), lab.digits().x[:BATCH])
    _levels = [site.forward.variance_between**0.5 for site in _small if site.op == "linear"]
    left = _levels[-1] / _levels[0]
    return left, reached, reached_planned, truth


@app.cell
def _(committed, left, prediction, reached, reached_planned, truth):
    prediction.reveal(
        committed(),
        truth,
        f"""
        It reached {reached:.1%}; the same network from the planned start reached {reached_planned:.1%} with the same
        batches and the same learning rate. Of what distinguishes one image from another behind the first layer, a
        share of {left:.1e} is left at the output: the cost cannot tell which weight would have helped.
        """,
    )
    return


@app.cell
def _():
    graded, grade = mo.state(None, allow_self_loops=True)
    return grade, graded


@app.cell
def _():
    def build(start, rate):
        """The network of this lesson with its data, its loss and its optimizer."""
        digits, model = lab.digits(), network(10, start)
        sgd = torch.optim.SGD(model.parameters(), lr=float(rate))
        return gs.Subject(model, digits.x[:256], digits.y[:256], cross_entropy, sgd)

    fix = lab.Fix(
        LESSON,
        """
        The network of the prediction. Choose a start and a learning rate with which `gs.check` finds nothing above a
        note.
        """.strip(),
        build,
        {"start": list(STARTS), "rate": ["0.05", "0.5", "5"]},
        {"rate": "Learning rate"},
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

model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
plan = gs.initialize(model, torch.randn(32, 64))   # looks at the network, chooses, fills, tells why
print(gs.check(model, torch.randn(32, 64)))
""",
    )
    lab.stack(take_home)
    return (take_home,)


@app.cell
def _(left):
    lab.questions(
        {
            "Why does a larger learning rate not rescue a start that is too small?": rf"""
            Signal and gradient shrink by a *factor per layer*, and the gradient of a middle weight holds a part of
            both.
            At the prediction's start a share of {left:.1e} arrives. A rate that made up for it in the first layers
            would overshoot in the last one, whose gradient misses only one side.""",
            "The cost starts at ln 10 and stays. What is still being learned?": r"""
            The last bias: its gradient does not pass through any weight. The network learns how frequent each digit is,
            and that is all it can say when its output no longer depends on the image.""",
            "Why start from random weights at all?": r"""
            Because units that start equal receive equal gradients and stay equal: lesson 2.""",
            "Why is the gradient of a weight a product of two things?": r"""
            $\partial C / \partial W_{ij} = (\partial C / \partial h_i)\, x_j$: the weight acts on the cost only
            through its unit's sum $h_i$, and on that sum in proportion to its input $x_j$.""",
            "Would normalization layers make all this unnecessary?": r"""
            They fix the size of the signal layer by layer, which removes the first reason for a bad start, and they
            bring
            conditions of their own: lessons 10 and 11. `gs.check` says where the scale of a weight does not matter.""",
        }
    )
    return


if __name__ == "__main__":
    app.run()
