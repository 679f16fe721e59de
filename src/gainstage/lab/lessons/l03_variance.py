# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Too small, too large: a layer must hand on the mean square of what it gets."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="3. Too small, too large · gainstage lab")

with app.setup:
    from math import sqrt

    import marimo as mo
    from torch import nn

    import gainstage as gs
    from gainstage import lab

    LESSON = lab.lesson("l03_variance")
    ACTIVATIONS = {"linear": nn.Identity, "relu": nn.ReLU, "tanh": nn.Tanh}


@app.cell
def _():
    lab.title(LESSON)
    return


@app.cell
def _():
    lab.prose(r"""
    A deep network multiplies. Whatever one layer does to the size of its signal, twenty layers do twenty times over:
    a layer that keeps 80 % leaves nothing, a layer that adds 20 % overflows. This lesson finds what one layer does to
    the size, and the one number that has to be right.

    **Size** here is the root mean square of a layer's values, $\sqrt{\mathbb{E}[x^2]}$, over all units and all samples.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The derivation

    One unit of a layer computes $y = \sum_{i=1}^{n} w_i x_i$ from $n$ inputs (its *fan in*). Draw the weights
    independently of each other and of the input, with mean 0 and variance $\sigma_w^2$. Then

    $$\mathbb{E}[y] = \sum_i \mathbb{E}[w_i]\,\mathbb{E}[x_i] = 0$$

    $$\operatorname{Var}(y) = \mathbb{E}[y^2] = \sum_{i,j} \mathbb{E}[w_i w_j]\,\mathbb{E}[x_i x_j]
      = \sum_i \mathbb{E}[w_i^2]\,\mathbb{E}[x_i^2] = n\,\sigma_w^2\,\mathbb{E}[x^2]$$

    All terms with $i \ne j$ are gone because $\mathbb{E}[w_i w_j] = 0$: the inputs may be as correlated as they like.
    What remains of the input is its **second moment** $\mathbb{E}[x^2]$, not its variance
    $\operatorname{Var}(x) = \mathbb{E}[x^2] - \mathbb{E}[x]^2$.

    The gradient travels through the same weights, transposed: a unit of the layer below collects from the $m$ units
    that it feeds (its *fan out*), so that $\mathbb{E}[g_x^2] = m\,\sigma_w^2\,\mathbb{E}[g_y^2]$, and the activation
    between them multiplies by $\mathbb{E}[\phi'^2]$.

    So one layer multiplies the mean square by a factor, and $L$ layers by its $L$-th power. **Only a factor of 1
    lasts.** """)
    return


@app.cell
def _(DRAWS, by_moment, by_variance, half_normal_mean):
    lab.prose(rf"""
    ## Second moment or variance?

    Behind a ReLU the two part ways. Let $z$ be normal with mean square 1. ReLU cuts off one half, so

    $$\mathbb{{E}}[\mathrm{{ReLU}}(z)^2] = \frac{{1}}{{2}} = {by_moment:.4f} \qquad
      \mathbb{{E}}[\mathrm{{ReLU}}(z)] = \frac{{1}}{{\sqrt{{2\pi}}}} = {half_normal_mean:.4f} \qquad
      \operatorname{{Var}}(\mathrm{{ReLU}}(z)) = \frac{{1}}{{2}} - \frac{{1}}{{2\pi}} = {by_variance:.4f}$$

    The numbers are `gs.init.gaussian_mean`, an exact integral over the normal distribution. Whoever derives a start
    from
    the variance divides by the wrong one, and is off by a factor of {by_moment / by_variance:.3f} **in every layer**.
    The table draws {DRAWS} units at random and asks which formula is right.
    """)
    return


@app.cell
def _():
    by_moment = gs.init.gaussian_mean(lambda z: z.relu().square())
    half_normal_mean = gs.init.gaussian_mean(lambda z: z.relu())
    by_variance = by_moment - half_normal_mean**2
    DRAWS, FAN_IN = 4096, 512
    return DRAWS, FAN_IN, by_moment, by_variance, half_normal_mean


@app.cell
def _(DRAWS, FAN_IN):
    _signals = {
        "z, normal": lab.draw(gs.init.normal(), FAN_IN, seed=1),
        "ReLU(z)": lab.draw(gs.init.normal(), FAN_IN, seed=1).relu(),
        "pixels, 0 to 1": lab.draw(gs.init.uniform(0.0, 1.0), FAN_IN, seed=2),
    }
    one_layer = []
    for _name, _x in _signals.items():
        _w = lab.draw(gs.init.lecun_normal(), DRAWS, FAN_IN, seed=3)  # n * var(w) = 1
        one_layer.append(
            {
                "input x": _name,
                "measured Var(y)": float((_w @ _x).var()),
                "n·var(w)·E[x²]": float(_x.square().mean()),
                "n·var(w)·Var(x)": float(_x.var(correction=0)),
            }
        )
    lab.table(one_layer, f"One layer of fan in {FAN_IN}, variance over {DRAWS} random units")
    return (one_layer,)


@app.cell
def _():
    lab.prose(r"""
    ## The code

    By hand it is a loop: multiply, write down the level, apply the activation.
    """)
    return


@app.function
def levels_by_hand(weights, x, phi):
    """Root mean square behind every weight of a plain chain."""
    levels = []
    for w in weights:
        x = x @ w.T
        levels.append(x.square().mean().sqrt().item())
        x = phi(x)
    return levels


@app.function
def chain(depth, width, scale, activation, seed):
    """A plain chain of square layers without bias; the variance of a weight is scale² / width."""
    layers = []
    for _ in range(depth):
        layers += [nn.Linear(width, width, bias=False), ACTIVATIONS[activation]()]
    model = nn.Sequential(*layers[:-1])
    law = gs.init.normal(std=scale / sqrt(width))
    for name, weight in model.named_parameters():
        gs.init.fill_(weight, law, seed=seed, name=name)
    return model


@app.cell
def _():
    lab.code(levels_by_hand)
    return


@app.cell
def _():
    lab.prose(r"""
    The library watches the real forward and backward pass of any model, and needs no loop of yours:

    ```python
    tape = gs.record(model, x)                                   # one pass, forward and backward
    levels = [site.forward.rms for site in tape if site.op == "linear"]
    ```

    Both are run on the network below; the largest difference between them is shown with the other numbers.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## Measure it

    Every layer is square, without bias; its weights have variance (weight scale)² / width. Signal and gradient are
    measured in one pass of random samples; the gradient is that of a random loss. The theory is the formula above,
    layer by layer, for a network of infinite width (`gs.theory.MeanField`).
    """)
    return


@app.cell
def _():
    depth = lab.slider("depth", 2, 60, 20, label="Depth (layers)")
    width = lab.slider("width", 16, 256, 128, label="Width (units)", step=16)
    scale = lab.slider("scale", 0.1, 3, 1, label="Weight scale (std × √width)", step=0.05)
    activation = lab.dropdown("activation", list(ACTIVATIONS), "relu", label="Activation")
    seed = lab.slider("seed", 0, 20, 0, label="Seed")
    lab.panel(depth, width, scale, activation, seed)
    return activation, depth, scale, seed, width


@app.cell
def _(activation, depth, scale, seed, width):
    _x = lab.draw(gs.init.normal(), 256, width.value, seed=0)
    model = chain(depth.value, width.value, scale.value, activation.value, seed.value)
    tape = gs.record(model, _x)
    sites = [site for site in tape if site.op == "linear"]
    forward = [site.forward.rms for site in sites]
    backward = [site.backward.rms for site in sites]
    by_hand = levels_by_hand([w.detach() for w in model.parameters()], _x, ACTIVATIONS[activation.value]())
    return backward, by_hand, forward


@app.cell
def _(activation, depth, scale):
    field = gs.theory.MeanField(ACTIVATIONS[activation.value](), weight_variance=scale.value**2)
    _q, theory = scale.value**2, []  # the input has mean square 1
    for _ in range(depth.value):
        theory.append(sqrt(_q))
        _q = field.variance(_q)
    return field, theory


@app.cell
def _(activation):
    gain = gs.gain(ACTIVATIONS[activation.value]())
    return (gain,)


@app.cell
def _(backward, by_hand, forward, theory):
    lab.readout(
        level_at_the_last_layer=forward[-1],
        theory_at_the_last_layer=theory[-1],
        gradient_first_over_last=backward[0] / backward[-1] if backward[-1] else float("nan"),
        by_hand_against_library=max(abs(a - b) / b if b else abs(a) for a, b in zip(by_hand, forward, strict=True)),
    )
    return


@app.cell
def _(backward, forward, theory):
    _series = {
        "signal, measured": forward,
        "signal, theory": theory,
        "gradient, measured": backward,
    }
    lab.lines(
        [
            {"layer": i + 1, "root mean square": v, "what": what}
            for what, levels in _series.items()
            for i, v in enumerate(levels)
        ],
        "layer",
        "root mean square",
        by="what",
        says="Signal and gradient by layer",
        log_y=True,
    )
    return


@app.cell
def _(activation, depth, field, forward, gain, scale):
    _per_layer = (forward[-1] / forward[0]) ** (2 / (depth.value - 1)) if forward[0] else float("nan")
    lab.prose(rf"""
    With {activation.value} and a weight scale of {scale.value:g}, one layer multiplies a *small* mean square by about
    {field.variance(1e-6) / 1e-6:.3g} by theory. Measured over the {depth.value} layers here, the factor is
    {_per_layer:.3g} a layer. The scale that keeps the level of this activation at mean square 1 is its gain,
    `gs.gain` = {gain:.4f}.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    Things to find: with ReLU, the scale at which both curves are flat; that width changes how much the measurement
    scatters around the theory, and not the theory; that tanh bends a level that is too large back, while its gradient
    pays for it; that a linear network needs another scale than a ReLU network.
    """)
    return


@app.cell
def _():
    committed, commit = mo.state(None, allow_self_loops=True)
    return commit, committed


@app.cell
def _():
    DEPTH = 20
    OPTIONS = ["It stays within a factor of 3", "It grows more than tenfold", "It shrinks below a tenth"]
    prediction = lab.Predict(
        LESSON,
        rf"""
        A colleague starts a {DEPTH}-layer ReLU network. They want $n\,\sigma_w^2 \operatorname{{Var}}(x) = 1$ behind
        every
        ReLU, so they set $n\,\sigma_w^2 = 1 / \operatorname{{Var}}(\mathrm{{ReLU}}(z))$. What becomes of the level
        (root mean square) from the first layer to the last?
        """.strip(),
        OPTIONS,
    )
    return DEPTH, OPTIONS, prediction


@app.cell
def _(commit, committed, prediction):
    prediction.ask(committed, commit)
    return


@app.cell
def _(DEPTH, OPTIONS, by_moment, by_variance):
    _x = lab.draw(gs.init.normal(), 256, 256, seed=0)
    _tape = gs.record(chain(DEPTH, 256, sqrt(1 / by_variance), "relu", 0), _x, backward=False)
    _levels = [site.forward.rms for site in _tape if site.op == "linear"]
    growth = _levels[-1] / _levels[0]
    truth = OPTIONS[0] if 1 / 3 < growth < 3 else OPTIONS[1] if growth > 10 else OPTIONS[2]
    expected_growth = (by_moment / by_variance) ** ((DEPTH - 1) / 2)
    return expected_growth, growth, truth


@app.cell
def _(DEPTH, by_moment, by_variance, committed, expected_growth, growth, prediction, truth):
    prediction.reveal(
        committed(),
        truth,
        rf"""
        From layer 1 to layer {DEPTH} the level grew {growth:.4g} times. What a layer hands on is the second moment, so
        each one multiplies the mean square by
        $\mathbb{{E}}[x^2] / \operatorname{{Var}}(x) = {by_moment / by_variance:.4f}$, and the level by its root:
        {by_moment / by_variance:.4f} to the power {DEPTH - 1}/2 is {expected_growth:.4g}.
        """,
    )
    return


@app.cell
def _():
    graded, grade = mo.state(None, allow_self_loops=True)
    return grade, graded


@app.cell
def _():
    LAWS = {
        "normal, std 0.01": gs.init.normal(std=0.01),
        "normal, std 1": gs.init.normal(std=1.0),
        "lecun_normal: n·var = 1": gs.init.lecun_normal(),
        "he_normal: n·var = 2": gs.init.he_normal(),
    }
    CHAIN = 12

    def build(law, activation):
        """A chain on random samples, every weight filled by one law."""
        model = chain(CHAIN, 64, 1.0, activation, 0)
        for name, weight in model.named_parameters():
            gs.init.fill_(weight, LAWS[law], seed=0, name=name)
        return gs.Subject(model, lab.draw(gs.init.normal(), 128, 64, seed=0))

    fix = lab.Fix(
        LESSON,
        rf"""
        This {CHAIN}-layer network was started with weights of standard deviation 0.01, "small, to be safe".
        `gs.check` runs it forward and backward and says what it finds. Choose a start with which it finds nothing
        above a note.
        """.strip(),
        build,
        {"law": list(LAWS), "activation": ["relu", "tanh"]},
        {"law": "Law of the weights"},
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
print(gs.record(model, torch.randn(128, 64)).table())   # level of signal and gradient, a row a layer
""",
    )
    lab.stack(take_home)
    return (take_home,)


@app.cell
def _(by_moment, by_variance):
    lab.questions(
        {
            "Why do the cross terms vanish, although the units of a hidden layer are correlated?": r"""
            Because the *weights* are independent with mean 0: $\mathbb{E}[w_i w_j] = 0$ for $i \ne j$, whatever
            $\mathbb{E}[x_i x_j]$ is. Nothing is assumed of the inputs but that they do not depend on these weights,
            which holds at the start and not after training.""",
            "Over what is the variance in Var(y) taken?": r"""
            Over the draw of the weights, and, if you like, over the samples too. One unit over the samples of one batch
            is another thing: its mean over samples is not 0 if the input's is not. Averaged over many units the *mean
            square* agrees, which is why levels are compared by it.""",
            "Why does one factor per layer rule, and not the size of the first layer?": r"""
            Sizes multiply: $q_L = q_0 \prod_l (n\,\sigma_w^2\, c)$, with $c$ the share that the activation leaves. A
            factor
            that is off in the first layer alone is off once; the same factor in every layer is off to the power
            $L$.""",
            "Books derive the start from the variance and are right for tanh. Why?": rf"""
            tanh is odd, so behind it the mean is 0 and variance and second moment are the same number. Behind ReLU they
            are {by_variance:.4f} and {by_moment:.4f}.""",
            "Does a flat curve mean that a network will train?": r"""
            No: it is needed and not enough. A deep ReLU chain with a flat level still makes all samples more alike with
            every layer. That is the correlation map of lesson 7; `gs.check` measures the part that differs between
            samples.""",
        }
    )
    return


if __name__ == "__main__":
    app.run()
