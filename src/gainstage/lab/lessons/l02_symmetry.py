# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Symmetry: two units that start equal must not be able to stay equal."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="2. Symmetry · gainstage lab")

with app.setup:
    import marimo as mo
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy, one_hot

    import gainstage as gs
    from gainstage import lab

    LESSON = lab.lesson("l02_symmetry")
    WIDTH, BATCH, STEPS, RATE, TOLERANCE = 32, 64, 150, 0.1, 0.01
    EQUAL = 0.05  # the constant
    STARTS = (
        "all 0",
        "all equal",
        "all equal, random head",
        "all equal, random biases",
        "all equal, with dropout",
        "random, head 0",
        "all random",
    )
    ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}


@app.cell
def _():
    lab.title(LESSON)
    return


@app.cell
def _():
    lab.prose(r"""
    A layer of 32 units is worth more than one unit only if its units do different things. Nothing in a layer tells its
    units apart but their weights. This lesson shows what happens when the weights do not tell them apart either, why
    training alone cannot mend it, and what can.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The derivation

    A hidden unit $i$ reads its inputs $x_k$ with the *incoming* weights $w_{ik}$, adds a bias and applies $\phi$; the
    layer above reads it with the *outgoing* weights $v_{mi}$:

    $$a_i = \phi\Big(\sum_k w_{ik}\, x_k + b_i\Big) \qquad s_m = \sum_i v_{mi}\, a_i$$

    With $\delta_m = \partial C / \partial s_m$, the derivative of the cost by the score $s_m$, the chain rule gives

    $$\frac{\partial C}{\partial v_{mi}} = \delta_m\, a_i \qquad
      \frac{\partial C}{\partial w_{ik}} = \phi'_i\, \Big(\sum_m v_{mi}\, \delta_m\Big)\, x_k$$

    where $\phi'_i$ is the slope of $\phi$ at unit $i$. Now let two units $i$ and $j$ be equal on **both sides**: the
    same incoming weights and bias, *and* the same outgoing weights. Then

    1. forward, $a_i = a_j$ for every sample;
    2. backward, both sums over $m$ are the same, so all their gradients are the same;
    3. an update that treats all weights by one rule (gradient descent, momentum, Adam, weight decay) leaves them equal.

    Step 3 is where step 1 began, one step later. By induction they are equal **for ever**: two units, one function.

    **Zeros** are worse. If all weights are 0 and $\phi(0) = 0$, then every $a_i = 0$, so no outgoing weight gets a
    gradient, and every $v_{mi} = 0$, so no incoming weight gets one. Only the last bias learns.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The code

    The four formulas by hand, for one hidden layer of tanh units, and a count of the units that are different:
    """)
    return


@app.function
def descend_by_hand(w, v, x, y, rate, steps):
    """Gradient descent: incoming weights `w`, outgoing weights `v`."""
    for _ in range(steps):
        a = (x @ w.T).tanh()
        delta = ((a @ v.T).softmax(1) - one_hot(y, len(v))) / len(x)
        back = (delta @ v) * (1 - a.square())
        v, w = v - rate * delta.T @ a, w - rate * back.T @ x
    return w, v


@app.function
def different_units(weight, tolerance=TOLERANCE):
    """How many rows are further apart than this share of the longest row."""
    size, found = weight.norm(dim=1).max(), []
    for row in weight:
        if all((row - other).norm() > tolerance * size for other in found):
            found.append(row)
    return len(found)


@app.function
def spread(weight):
    """The share of a layer's weight, root mean square, in which its units differ from their average."""
    size = weight.norm()
    return float((weight - weight.mean(0)).norm() / size) if size else 0.0


@app.function
def network(start, activation="tanh", noise=0.0, seed=0):
    """Two hidden layers and a head for the ten digits; `noise` is a random part of every weight, 1 for LeCun's law."""
    drop = [gs.nn.Dropout(0.2, generator=torch.Generator().manual_seed(seed))] if "dropout" in start else []
    phi = ACTIVATIONS[activation]
    model = nn.Sequential(
        *(nn.Linear(64, WIDTH), phi(), *drop), *(nn.Linear(WIDTH, WIDTH), phi(), *drop), nn.Linear(WIDTH, 10)
    )
    head = model[-1].weight
    for name, parameter in model.named_parameters():
        law = gs.init.lecun_normal() if "random" in start.split(",")[0] else gs.init.constant(EQUAL)
        if start == "all 0" or (parameter is head and "head 0" in start):
            law = gs.init.zeros()
        if parameter is head and "random head" in start:
            law = gs.init.lecun_normal()
        if parameter.dim() == 1:
            law = gs.init.normal(std=0.1) if "random biases" in start else gs.init.zeros()
        gs.init.fill_(parameter, law, seed=seed, name=name)
        if noise and parameter.dim() == 2:
            extra = gs.init.fill_(torch.empty_like(parameter), gs.init.lecun_normal(), seed=seed + 1000, name=name)
            parameter.data += noise * extra
    return model


@app.cell
def _():
    lab.code(descend_by_hand, different_units)
    return


@app.cell
def _():
    lab.prose(r"""
    The library trains any model, and its check looks for twins before the first step:

    ```python
    sgd = torch.optim.SGD(model.parameters(), lr=rate)
    gs.train.fit(model, [(x, y)], loss=cross_entropy, optimizer=sgd, epochs=20)
    gs.check(model, x, target=y, loss=cross_entropy)      # INI101: identical units
    ```

    Both run from the same constant start; then both count:
    """)
    return


@app.cell
def _():
    data = lab.digits()
    return (data,)


@app.cell
def _(data):
    _x, _y = data.x[:BATCH], data.y[:BATCH]
    _model = nn.Sequential(nn.Linear(64, WIDTH, bias=False), nn.Tanh(), nn.Linear(WIDTH, 10, bias=False))
    for _parameter in _model.parameters():
        gs.init.fill_(_parameter, gs.init.constant(EQUAL), seed=0, name="")
    _w, _v = (p.detach().clone() for p in _model.parameters())
    report = gs.check(_model, _x, target=_y, loss=cross_entropy)
    _w, _v = descend_by_hand(_w, _v, _x, _y, RATE, 20)
    _sgd = torch.optim.SGD(_model.parameters(), lr=RATE)
    gs.train.fit(_model, [(_x, _y)], loss=cross_entropy, optimizer=_sgd, epochs=20)
    _fitted = [p.detach() for p in _model.parameters()]
    loops_differ_by = max(float((p - q).abs().max()) for p, q in zip(_fitted, (_w, _v), strict=True))
    by_hand_count = different_units(_w)
    lab.stack(
        lab.readout(
            different_units_by_hand_after_20_steps=by_hand_count,
            different_units_by_gs_train_fit=different_units(_fitted[0]),
            largest_difference_of_a_weight=loops_differ_by,
        ),
        lab.findings(report),
    )
    return by_hand_count, loops_differ_by, report


@app.function
def trained(start, activation="tanh", noise=0.0, seed=0):
    """Train from one start: spread of both hidden layers by step, their different units and the test accuracy."""
    digits, model = lab.digits(), network(start, activation, noise, seed)
    hidden = [layer.weight for layer in model if isinstance(layer, nn.Linear)][:2]
    spreads = []

    def look(step):
        if step.number % 10 == 9:
            spreads.append((step.number + 1, *(spread(weight.detach()) for weight in hidden)))

    sgd = torch.optim.SGD(model.parameters(), lr=RATE)
    batches = gs.train.minibatches(digits.x, digits.y, batch_size=BATCH, steps=STEPS, seed=seed)
    gs.train.fit(model, batches, loss=cross_entropy, optimizer=sgd, on_step=[look])
    units = [different_units(weight.detach()) for weight in hidden]
    return spreads, units, gs.train.accuracy(model, digits.test_x, digits.test_y)


@app.cell
def _():
    lab.prose(rf"""
    ## What breaks it

    A network for handwritten digits with two hidden layers of {WIDTH} units, and a *head*: the last layer, ten scores.
    It is trained from seven starts for {STEPS} steps. "Equal" means that every weight is {EQUAL}. Two units count as
    different where their incoming weights are more than {TOLERANCE:.0%} apart.
    """)
    return


@app.cell
def _():
    compared = []
    for _start in STARTS:
        _, _units, _accuracy = trained(_start)
        compared.append(
            {
                "start": _start,
                "different units, layer 1": _units[0],
                "different units, layer 2": _units[1],
                "test accuracy": _accuracy,
            }
        )
    lab.table(compared, f"After {STEPS} steps, tanh, of {WIDTH} units in each hidden layer")
    return (compared,)


@app.cell
def _(compared):
    _by = {row["start"]: row for row in compared}
    lab.prose(rf"""
    Read the table from above. From zeros, nothing but the last bias was learned: {_by["all 0"]["test accuracy"]:.1%}
    is the share of one digit. From equal weights, {WIDTH} units are still one. Random biases and dropout do break the
    symmetry: both treat the units differently. But units that are merely not equal are still *almost* equal, and
    accuracy stays at {_by["all equal, random biases"]["test accuracy"]:.1%} and
    {_by["all equal, with dropout"]["test accuracy"]:.1%} within these steps. The last two rows show what is enough:
    random hidden weights. A head of zeros is then harmless ({_by["random, head 0"]["test accuracy"]:.1%}): the units
    differ on the incoming side, so the first step gives each its own outgoing weight.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## Measure it

    To the start that you choose, a random part is added: 0 adds nothing, 1 adds what LeCun's law would draw. The chart
    follows the *spread*: the share of a layer's weight in which its units differ from their average.
    """)
    return


@app.cell
def _():
    start = lab.dropdown("start", STARTS, "all equal, random head", label="Start")
    noise = lab.slider("noise", 0, 1, 0, label="Random part", steps=[0, 1e-6, 1e-3, 0.01, 0.1, 0.3, 1])
    activation = lab.dropdown("activation", list(ACTIVATIONS), "tanh", label="Activation")
    seed = lab.slider("seed", 0, 10, 0, label="Seed")
    lab.panel(start, noise, activation, seed)
    return activation, noise, seed, start


@app.cell
def _(activation, noise, seed, start):
    spreads, units, accuracy = trained(start.value, activation.value, noise.value, seed.value)
    return accuracy, spreads, units


@app.cell
def _(accuracy, spreads, units):
    lab.readout(
        different_units_in_layer_1=units[0],
        different_units_in_layer_2=units[1],
        spread_of_layer_1=spreads[-1][1],
        test_accuracy=f"{accuracy:.1%}",
    )
    return


@app.cell
def _(spreads):
    lab.lines(
        [
            {"step": step, "spread": value, "layer": f"hidden layer {i}"}
            for step, *values in spreads
            for i, value in enumerate(values, 1)
        ],
        "step",
        "spread",
        by="layer",
        says="How much the units of a layer differ, while training",
        log_y=True,
    )
    return


@app.cell
def _(accuracy, noise, spreads, units):
    lab.prose(rf"""
    With a random part of {noise.value:g}, layer 1 ends with {units[0]} different units of {WIDTH} and a spread of
    {spreads[-1][1]:.2g}, and the network reads {accuracy:.1%} of the test digits. A spread near
    {torch.finfo(torch.float32).eps:.0e} is rounding: sums added up in another order, not something learned.

    Things to find: how large the random part must be before the digits are read, not merely before the units differ;
    how, below a random head, a random part of a millionth grows by the same factor every few steps (a straight line on
    this axis); that neither activation helps; that another seed gives no more different units, as long as the random
    part is 0 and all is equal.
    """)
    return


@app.cell
def _():
    committed, commit = mo.state(None, allow_self_loops=True)
    return commit, committed


@app.cell
def _():
    OPTIONS = ["one", f"between 2 and {WIDTH - 1}", f"all {WIDTH}"]
    prediction = lab.Predict(
        LESSON,
        f"""
        Every weight of this network is {EQUAL}, and every bias 0. Only the head is drawn at random, so the gradients
        that come back are random numbers. After {STEPS} steps of training, how many *different* units has the **first**
        of the two hidden layers?
        """.strip(),
        OPTIONS,
    )
    return OPTIONS, prediction


@app.cell
def _(commit, committed, prediction):
    prediction.ask(committed, commit)
    return


@app.cell
def _(OPTIONS):
    _, random_head_units, _ = trained("all equal, random head")
    _count = random_head_units[0]
    truth = OPTIONS[0] if _count == 1 else OPTIONS[2] if _count == WIDTH else OPTIONS[1]
    return random_head_units, truth


@app.cell
def _(committed, prediction, random_head_units, truth):
    prediction.reveal(
        committed(),
        truth,
        rf"""
        Layer 1 has {random_head_units[0]}, layer 2 has {random_head_units[1]}. The random head gives the units of layer
        2 different outgoing weights, so those part after one step. But the units of layer 1 are equal on both sides:
        their incoming weights are equal, and each unit of layer 2 reads all of them with one and the same weight. What
        comes back to them, $\sum_m v_{{mi}}\, \delta_m$, is a random number, and the *same* one for all of them.
        Randomness must be in every hidden layer.
        """,
    )
    return


@app.cell
def _():
    graded, grade = mo.state(None, allow_self_loops=True)
    return grade, graded


@app.cell
def _():
    OPTIMIZERS = {"SGD": torch.optim.SGD, "Adam": torch.optim.Adam}
    FIX_STARTS = {
        "all equal": "all equal",
        "all equal, random head": "all equal, random head",
        "all 0": "all 0",
        "hidden layers random, head 0": "random, head 0",
    }

    def build(start, optimizer, activation):
        """The network of this lesson with its data, its loss and its optimizer."""
        digits, model = lab.digits(), network(FIX_STARTS[start], activation)
        rate = {"SGD": RATE, "Adam": 1e-3}[optimizer]
        taken = OPTIMIZERS[optimizer](model.parameters(), lr=rate)
        return gs.Subject(model, digits.x[:256], digits.y[:256], cross_entropy, taken)

    fix = lab.Fix(
        LESSON,
        """
        Someone wanted a start that can be repeated exactly, and set every weight to the same small number. Choose what
        to change until `gs.check` finds nothing above a note.
        """.strip(),
        build,
        {"start": list(FIX_STARTS), "optimizer": list(OPTIMIZERS), "activation": list(ACTIVATIONS)},
        {"start": "Weights", "activation": "Activation of the network"},
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

model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.Tanh(), torch.nn.Linear(32, 10))
torch.nn.init.constant_(model[0].weight, 0.05)
print(gs.check(model, torch.randn(128, 64), select=["INI101"]))  # units that start equal
gs.initialize(model, torch.randn(128, 64), seed=0)  # random, the same for the same seed
""",
    )
    lab.stack(take_home)
    return (take_home,)


@app.cell
def _(compared):
    _by = {row["start"]: row for row in compared}
    lab.questions(
        {
            "Does Adam, or a larger learning rate, part two equal units?": r"""
            No. Equal weights with equal gradients have equal averages of gradients and of their squares, so Adam's
            update is the same for both. Any rule that looks only at a weight's own history keeps equal weights
            equal.""",
            "The same weights are needed in every run. Does that forbid random ones?": r"""
            No. Pseudo-random numbers are a function of a seed: different from unit to unit, the same from run to run.
            In `gs.init.fill_` every number depends on the seed, the parameter's name and the place, and on nothing
            else.""",
            "May a layer ever start at zero?": rf"""
            Yes: the head (here {_by["random, head 0"]["test accuracy"]:.1%}), and the last layer of a residual branch
            (lesson 8). Their units are told apart from outside: by the labels, or by the different units that they
            read. One such layer on a path is fine; of two in a row neither gets a gradient.""",
            "Biases usually start at 0, all equal. Why is that no harm?": r"""
            Units with different weights are different already, whatever their biases. It would do harm only where the
            weights were equal too.""",
            "Dropout made the units different. Why is it no cure?": rf"""
            It drops other units at every step, so equal units get unequal gradients and part. But they part by the
            little that those gradients differ, from one common point: after {STEPS} steps
            {_by["all equal, with dropout"]["test accuracy"]:.1%}, against {_by["all random"]["test accuracy"]:.1%} from
            a random start. The time would be better spent on learning.""",
            "gs.check is silent about a start that is all equal plus one percent of noise. Is it a good start?": r"""
            No, as the slider shows. INI101 finds units that start *exactly* equal, because those stay so whatever the
            training. Units that are merely close do part, at a speed that depends on rate and data, which a check
            before the first step cannot know.""",
            "Is it enough to swap the units of a random layer to get another network?": r"""
            Swapping two hidden units with all their weights gives the same function: $n$ units have $n!$ equivalent
            orders. That symmetry is harmless. The harmful point is the one that is its own mirror image, where units
            are equal: gradient descent can never leave it.""",
        }
    )
    return


@app.cell
def _():
    lab.prose(r"""
    *Sources: Rumelhart, Hinton & Williams, Learning Internal Representations by Error Propagation, 1986 ("symmetry
    breaking"). Goodfellow, Bengio & Courville, Deep Learning, 2016, section 8.4.*
    """)
    return


if __name__ == "__main__":
    app.run()
