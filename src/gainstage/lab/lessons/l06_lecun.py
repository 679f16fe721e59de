# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""LeCun and SELU: mean 0 and mean square 1 must be a fixed point that attracts."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="6. LeCun and SELU · gainstage lab")

with app.setup:
    from itertools import product
    from math import e, erfc, pi, sqrt

    import marimo as mo
    import torch
    from torch import nn
    from torch.nn import functional as F

    import gainstage as gs
    from gainstage import lab

    LESSON = lab.lesson("l06_lecun")
    ACTIVATIONS = {"selu": nn.SELU, "elu": nn.ELU, "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "tanh": nn.Tanh}
    GAINS = {"LeCun: 1/n": 1.0, "He: 2/n": sqrt(2.0), "PyTorch's default: 1/(3n)": sqrt(1 / 3)}
    DROPS = {"none": 0.0, "ordinary, 0.1": 0.1, "ordinary, 0.5": 0.5, "alpha, 0.1": 0.1, "alpha, 0.5": 0.5}


@app.cell
def _():
    lab.title(LESSON)
    return


@app.cell
def _():
    lab.prose(r"""
    So far the right scale *kept* the level of a signal: whatever came in, too large or too small, was handed on as it
    was. SELU does more. With the right weights, every layer pulls the mean towards 0 and the variance towards 1, from
    wherever they are. A network of such layers normalizes itself, without a normalization layer. This lesson shows why,
    and how little it takes to lose it.
    """)
    return


@app.cell
def _(jacobian, selu_alpha, selu_scale):
    lab.prose(rf"""
    ## The derivation

    **LeCun's law** is the plainest: $\sigma_w^2 = 1/n$ with $n$ the fan in. By lesson 3, the sums behind such weights
    have the mean square of what came in. If the outputs $a$ of a wide layer have mean $\mu$ and variance $\nu$, then
    the next sums are close to normal, with mean 0 and mean square

    $$q = \mu^2 + \nu$$

    over all units and samples. Behind the activation $\phi$ the new mean and variance are, with
    $u \sim \mathcal{{N}}(0, 1)$,

    $$\mu' = \mathbb{{E}}[\phi(\sqrt q\,u)] \qquad \nu' = \mathbb{{E}}[\phi(\sqrt q\,u)^2] - \mu'^2$$

    That is a map from the plane of (mean, variance) to itself, and a deep network applies it again and again. We want
    $(0, 1)$ to be a *fixed point*: what comes in with mean 0 and variance 1 goes out with mean 0 and variance 1. This
    is two equations, so $\phi$ needs two numbers to choose. **SELU** has two, $\lambda$ and $\alpha$:

    $$\phi(z) = \lambda z \;\text{{ for }} z > 0$$

    $$\phi(z) = \lambda\alpha\,(e^z - 1) \;\text{{ for }} z \le 0$$

    The first equation, mean 0, fixes $\alpha$: the negative side must weigh as much as the positive side. The second,
    mean square 1, fixes $\lambda$. The results are $\alpha = {selu_alpha:.4f}$ and $\lambda = {selu_scale:.4f}$.

    A fixed point may attract or repel. A small error $(\Delta\mu, \Delta\nu)$ is multiplied by the matrix of the map's
    derivatives, here at $(0, 1)$:

    $$\begin{{pmatrix}} \partial\mu'/\partial\mu & \partial\mu'/\partial\nu \\
      \partial\nu'/\partial\mu & \partial\nu'/\partial\nu \end{{pmatrix}}
      = \begin{{pmatrix}} {jacobian[0][0]:.4f} & {jacobian[0][1]:.4f} \\
        {jacobian[1][0]:.4f} & {jacobian[1][1]:.4f} \end{{pmatrix}}$$

    An error of the mean is gone after one layer, and an error of the variance shrinks to
    {jacobian[1][1]:.1%} in every layer. **The fixed point attracts.** For ReLU with He's law that number is 1: errors
    stay for ever.
    """)
    return


@app.function
def layer(mean, variance, phi, gain=1.0):
    """Mean and variance behind weights of variance gain² / n and phi."""
    q = gain**2 * (mean**2 + variance)
    new_mean = gs.init.gaussian_mean(phi, variance=q)
    square = gs.init.gaussian_mean(lambda z: phi(z).square(), variance=q)
    return new_mean, square - new_mean**2


@app.cell
def _():
    _h = 1e-4
    _d = [
        [(a - b) / (2 * _h) for a, b in zip(layer(*up, F.selu), layer(*down, F.selu), strict=True)]
        for up, down in (((_h, 1.0), (-_h, 1.0)), ((0.0, 1 + _h), (0.0, 1 - _h)))
    ]
    jacobian = [[_d[0][0] + 0.0, _d[1][0]], [_d[0][1] + 0.0, _d[1][1]]]
    return (jacobian,)


@app.cell
def _():
    lab.prose(r"""
    ## The code

    SELU's two constants by hand. With $\Phi$ the normal distribution function,
    $\mathbb{E}[e^{cz};\, z<0] = e^{c^2/2}\,\Phi(-c)$, which gives both equations in closed form. Below it one layer of
    the map, by the library's exact integral:
    """)
    return


@app.function
def selu_by_hand():
    """The alpha of mean 0, and the scale of mean square 1."""
    # E[exp(cz); z < 0] for c = 0, 1, 2
    below = [e ** (c * c / 2) * erfc(c / sqrt(2)) / 2 for c in (0, 1, 2)]
    alpha = (1 / sqrt(2 * pi)) / (below[0] - below[1])
    square = 1 / 2 + alpha**2 * (below[2] - 2 * below[1] + below[0])
    return alpha, 1 / sqrt(square)


@app.cell
def _():
    lab.code(selu_by_hand, layer)
    return


@app.cell
def _():
    lab.prose(r"""
    PyTorch's SELU has the constants built in, and the library has the rest:

    ```python
    gs.gain("selu")                                    # 1: keeps mean square 1
    gs.theory.MeanField("selu", weight_variance=1.0)   # the map of q
    gs.init.lecun_normal_(weight)                      # 1/n, in place
    ```
    """)
    return


@app.cell
def _():
    selu_alpha, selu_scale = selu_by_hand()
    torch_scale = float(F.selu(torch.ones((), dtype=torch.float64)))
    torch_alpha = -float(F.selu(torch.tensor(-1e9, dtype=torch.float64))) / torch_scale
    field = gs.theory.MeanField("selu", weight_variance=1.0)
    lab.readout(
        alpha_by_hand_minus_torch=selu_alpha - torch_alpha,
        scale_by_hand_minus_torch=selu_scale - torch_scale,
        mean_behind_SELU=round(gs.init.gaussian_mean(F.selu), 12) + 0.0,
        gain_of_SELU=gs.gain("selu"),
        error_in_q_factor_a_layer=field.variance_slope(),
        gradient_factor_a_layer=field.slope(),
    )
    return field, selu_alpha, selu_scale, torch_alpha, torch_scale


@app.cell
def _():
    committed, commit = mo.state(None, allow_self_loops=True)
    return commit, committed


@app.cell
def _():
    DEPTH, WIDTH = 50, 128
    return DEPTH, WIDTH


@app.cell
def _(DEPTH):
    OPTIONS = [
        "It returns to 1: SELU normalizes itself",
        "It settles at another level",
        "It keeps growing",
    ]
    prediction = lab.Predict(
        LESSON,
        rf"""
        Someone starts a {DEPTH}-layer SELU network with He's law, $\sigma_w^2 = 2/n$ instead of $1/n$. What does the
        variance do from layer to layer?
        """.strip(),
        OPTIONS,
    )
    return OPTIONS, prediction


@app.cell
def _(commit, committed, prediction):
    prediction.ask(committed, commit)
    return


@app.cell
def _(DEPTH, OPTIONS, WIDTH):
    _x = lab.draw(gs.init.normal(), 256, WIDTH, seed=0)
    he_levels = [mean**2 + variance for mean, variance in entering(chain(DEPTH, WIDTH, "selu", sqrt(2)), _x)]
    _growth = he_levels[-1] / he_levels[DEPTH // 2]
    truth = OPTIONS[2] if _growth > 2 else OPTIONS[0] if abs(he_levels[-1] - 1) < 0.5 else OPTIONS[1]
    return he_levels, truth


@app.cell
def _(DEPTH, committed, he_levels, prediction, selu_scale, truth):
    prediction.reveal(
        committed(),
        truth,
        rf"""
        The mean square is {he_levels[1]:.3g} after one layer, {he_levels[DEPTH // 2]:.3g} after {DEPTH // 2} and
        {he_levels[-1]:.3g} after {DEPTH}. The pull towards 1 has a limit: a large signal is multiplied by
        $\lambda^2/2$ by SELU and by 2 by the weights, $\lambda^2 = {selu_scale**2:.4f}$ a layer, and that is above 1.
        There is no other level to settle at.
        """,
    )
    return


@app.cell
def _(field):
    lab.prose(rf"""
    The last number is the price: the mean square of the *gradient* grows by a factor of {field.slope():.4f} a layer.
    Self-normalizing is said of the signal. Backward, {field.slope() ** 20:.2g} after 20 layers is harmless, and
    {field.slope() ** 200:.1e} after 200 is not.
    """)
    return


@app.cell
def _():
    after = []
    for _mean, _variance in product((-1.5, 0.5, 1.5), (0.1, 0.5, 1.5, 3.0)):
        for _layers in range(11):
            if _layers in (0, 1, 3, 10):
                after.append({"mean": _mean, "variance": _variance, "after": f"{_layers} layers"})
            _mean, _variance = layer(_mean, _variance, F.selu)
    after.sort(key=lambda row: int(row["after"].split()[0]))
    lab.points(
        after, "mean", "variance", by="after", says="The map: twelve starts in the plane of (mean, variance), SELU"
    )
    return (after,)


@app.cell
def _(after):
    _last = [row for row in after if row["after"] == "10 layers"]
    _apart = max(abs(row["mean"]) for row in _last), max(abs(row["variance"] - 1) for row in _last)
    lab.prose(rf"""
    After one layer all lie on a curve, because only $q$ was handed on. Along it they move to $(0, 1)$; after 10 layers
    the farthest mean is {_apart[0]:.3f} from 0, and the farthest variance {_apart[1]:.3f} from 1.

    ## Measure it

    A real network. The input has the mean and standard deviation that you set; mean and variance are those of all
    values that enter a layer. The theory is the map above.
    """)
    return


@app.cell
def _():
    activation = lab.dropdown("activation", list(ACTIVATIONS), "selu", label="Activation")
    law = lab.dropdown("law", list(GAINS), "LeCun: 1/n", label="Law of the weights")
    drop = lab.dropdown("drop", list(DROPS), "none", label="Dropout behind every layer")
    shift = lab.slider("mean", -2, 2, 1, label="Mean of the input", step=0.25)
    spread = lab.slider("std", 0.25, 4, 2, label="Standard deviation of the input", step=0.25)
    depth = lab.slider("depth", 2, 60, 20, label="Depth (layers)")
    width = lab.slider("width", 16, 256, 128, label="Width (units)", step=16)
    seed = lab.slider("seed", 0, 20, 0, label="Seed")
    lab.panel(activation, law, drop, shift, spread, depth, width, seed)
    return activation, depth, drop, law, seed, shift, spread, width


@app.function
def chain(depth, width, activation, gain, drop="none", seed=0):
    """Square layers without bias, each followed by its activation and, if asked, by dropout."""
    layers = []
    for i in range(depth):
        layers += [nn.Linear(width, width, bias=False), ACTIVATIONS[activation]()]
        if drop != "none" and i < depth - 1:
            kind = gs.nn.AlphaDropout if "alpha" in drop else gs.nn.Dropout
            layers.append(kind(DROPS[drop], generator=torch.Generator().manual_seed(100 * seed + i)))
    model = nn.Sequential(*layers)
    for name, weight in model.named_parameters():
        gs.init.fill_(weight, gs.init.lecun_normal(gain), seed=seed, name=name)
    return model


@app.function
def entering(model, x):
    """(mean, variance) of what enters every weight, and of the output."""
    tape = gs.record(model, x, backward=False)
    found = [tape.sites[site.inputs[0].site].forward for site in tape if site.op == "linear"]
    return [(m.mean, m.mean_square - m.mean**2) for m in [*found, tape.sites[-1].forward]]


@app.function
def after_dropout(mean, variance, drop):
    """Mean and variance behind ordinary or alpha dropout."""
    p, square = DROPS[drop], variance + mean**2
    if "alpha" not in drop:
        return mean, square / (1 - p) - mean**2
    low = float(F.selu(torch.tensor(-1e9, dtype=torch.float64)))  # what alpha dropout puts in place of a value
    a = ((1 - p) * (1 + p * low**2)) ** -0.5
    mixed = (1 - p) * mean + p * low
    return a * mixed - a * p * low, a**2 * ((1 - p) * square + p * low**2 - mixed**2)


@app.function
def expected(depth, mean, variance, activation, gain, drop="none"):
    """(mean, variance) of what enters every weight of an infinitely wide network, and of its output."""
    found, phi = [(mean, variance)], ACTIVATIONS[activation]()
    for i in range(depth):
        mean, variance = layer(mean, variance, phi, gain) if variance + mean**2 < 1e30 else (mean, variance)
        if drop != "none" and i < depth - 1:
            mean, variance = after_dropout(mean, variance, drop)
        found.append((mean, variance))
    return found


@app.cell
def _(activation, depth, drop, law, seed, shift, spread, width):
    _x = shift.value + spread.value * lab.draw(gs.init.normal(), 256, width.value, seed=0)
    measured = entering(chain(depth.value, width.value, activation.value, GAINS[law.value], drop.value, seed.value), _x)
    return (measured,)


@app.cell
def _(activation, depth, drop, law, shift, spread):
    theory = expected(
        depth.value, float(shift.value), float(spread.value) ** 2, activation.value, GAINS[law.value], drop.value
    )
    return (theory,)


@app.cell
def _(committed, measured, prediction, theory):
    prediction.gate(
        committed(),
        lab.readout(
            mean_at_the_end=measured[-1][0],
            variance_at_the_end=measured[-1][1],
            theory_mean=theory[-1][0] if abs(theory[-1][0]) > 1e-9 else 0.0,
            theory_variance=theory[-1][1],
        ),
    )
    return


@app.cell
def _(committed, measured, prediction, theory):
    _rows = [
        {"layer": i, "mean": mean, "variance": variance, "what": what}
        for what, levels in (("measured", measured), ("theory", theory))
        for i, (mean, variance) in enumerate(levels)
    ]
    prediction.gate(
        committed(),
        lab.stack(
            lab.lines(
                _rows, "layer", "variance", by="what", says="Variance behind every layer", log_y=True, height=200
            ),
            lab.lines(_rows, "layer", "mean", by="what", says="Mean behind every layer", height=160),
        ),
    )
    return


@app.cell
def _(activation, committed, drop, law, measured, prediction, shift, spread):
    prediction.gate(
        committed(),
        lab.prose(rf"""
    The input has mean {shift.value:g} and variance {spread.value**2:g}; behind the last layer they are
    {measured[-1][0]:.3g} and {measured[-1][1]:.3g}, with {activation.value}, {law.value} and dropout {drop.value}.

    Things to find: that with SELU and LeCun any input ends near $(0, 1)$; how many layers it takes; which *one* change
    breaks it: He's law, another activation, ordinary dropout, or alpha dropout; that with ReLU the level of the input
    is still to be seen at the end.
    """),
    )
    return


@app.cell
def _():
    lab.prose(r"""
    ## What breaks it

    Ordinary dropout sets a share $p$ of the values to 0 and divides the rest by $1 - p$. That keeps the mean and
    multiplies the mean square by $1/(1-p)$, in every layer. **Alpha dropout** sets them to SELU's lowest value instead
    and then scales and shifts so that mean 0 and variance 1 come out as they came in.
    """)
    return


@app.cell
def _(DEPTH, WIDTH):
    broken = []
    for _activation, _law, _drop in (
        ("selu", "LeCun: 1/n", "none"),
        ("selu", "LeCun: 1/n", "alpha, 0.1"),
        ("selu", "LeCun: 1/n", "ordinary, 0.1"),
        ("selu", "LeCun: 1/n", "ordinary, 0.5"),
        ("selu", "He: 2/n", "none"),
        ("selu", "PyTorch's default: 1/(3n)", "none"),
        ("elu", "LeCun: 1/n", "none"),
        ("relu", "LeCun: 1/n", "none"),
    ):
        _x = lab.draw(gs.init.normal(), 256, WIDTH, seed=0)
        _mean, _variance = entering(chain(DEPTH, WIDTH, _activation, GAINS[_law], _drop), _x)[-1]
        _, _settles = expected(DEPTH, 0.0, 1.0, _activation, GAINS[_law], _drop)[-1]
        broken.append(
            {
                "activation": _activation,
                "weights": _law,
                "dropout": _drop,
                "mean": _mean,
                "variance": _variance,
                "theory, variance": _settles,
            }
        )
    lab.table(broken, f"Behind {DEPTH} layers of width {WIDTH}; the input has mean 0 and variance 1")
    return (broken,)


@app.cell
def _(selu_alpha, selu_scale):
    _limit = 1 - selu_scale**2 / 2
    _small = selu_scale**2 * (1 + selu_alpha**2) / 2
    lab.prose(rf"""
    A large signal feels only SELU's two ends: the straight one keeps $\lambda^2/2 = {selu_scale**2 / 2:.4f}$ of the
    mean square, the flat one next to nothing. A small signal feels only the two slopes at 0, $\lambda$ and
    $\lambda\alpha$, which multiply its mean square by $\lambda^2(1 + \alpha^2)/2 = {_small:.4f}$. So a factor on the
    mean square between {1 / _small:.3f} and {2 / selu_scale**2:.3f} only moves the fixed point. Above, the signal
    explodes: ordinary dropout crosses that line at $p = {_limit:.3f}$. Below, as with PyTorch's default of 1/3, it
    vanishes.
    """)
    return


@app.cell
def _():
    lecun_tried, tell_lecun = mo.state(None, allow_self_loops=True)
    return lecun_tried, tell_lecun


@app.cell
def _(tell_lecun):
    exercise_lecun = lab.exercises.widget("lecun", mo)
    exercise_lecun.ask(tell_lecun)
    return (exercise_lecun,)


@app.cell
def _(exercise_lecun, lecun_tried):
    exercise_lecun.result(lecun_tried())
    return


@app.cell
def _():
    graded, grade = mo.state(None, allow_self_loops=True)
    return grade, graded


@app.cell
def _():
    CHAIN = 50
    LAWS = {
        "lecun_normal: 1/n": gs.init.lecun_normal(),
        "normal, std 0.3": gs.init.normal(std=0.3),
        "normal, std 0.05": gs.init.normal(std=0.05),
    }

    def build(activation, law):
        """A chain for the digits, every weight filled by one law."""
        model = chain(CHAIN, 64, activation, 1.0)
        for name, weight in model.named_parameters():
            gs.init.fill_(weight, LAWS[law], seed=0, name=name)
        return gs.Subject(model, lab.digits().x[:128], lab.digits().y[:128], F.cross_entropy)

    fix = lab.Fix(
        LESSON,
        f"""
        {CHAIN} layers without normalization: "LeCun's law is self-normalizing". Choose an activation and a law with
        which `gs.check` finds nothing above a note.
        """.strip(),
        build,
        {"activation": ["relu", "leaky_relu", "selu"], "law": list(LAWS)},
        {"activation": "Activation of the network", "law": "Weights"},
        demands=lab.keeps_its_level(),
        train=lab.on_digits(adam=1e-3, needed=0.4),
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

layer = torch.nn.Linear(128, 128)
gs.init.lecun_normal_(layer.weight), torch.nn.init.zeros_(layer.bias)
block = torch.nn.Sequential(layer, torch.nn.SELU(), gs.nn.AlphaDropout(0.1))
""",
    )
    lab.stack(take_home)
    return (take_home,)


@app.cell
def _(broken, field, selu_scale):
    lab.questions(
        {
            "Why must a self-normalizing activation have negative values?": r"""
            Its mean behind a symmetric input must be 0. ReLU has only values of at least 0, so its mean is positive
            whenever anything passes.""",
            "Why must its slope exceed 1 somewhere?": rf"""
            A signal that is too small must be made larger. On the positive side SELU's slope is
            $\lambda = {selu_scale:.4f}$; without it the mean square could only fall.""",
            "And what brings a signal down that is too large?": r"""
            The flat negative end: large negative values all become $-\lambda\alpha$, so their share of the mean square
            stops growing.""",
            "PyTorch's calculate_gain('selu') is 3/4, not 1. Which is right for a self-normalizing network?": r"""
            1. At 3/4, $\sigma_w^2 = 0.5625/n$, the fixed point at mean square 1 is gone. PyTorch's documentation
            says that its number gives self-normalization up for a steadier gradient in layers that are not square, and
            to write `nonlinearity="linear"` for the 1.""",
            "Input data have variance 1 by standardizing. Does self-normalization still matter?": rf"""
            Yes: a finite width, and every step of training, push mean and variance away from $(0, 1)$. An error in $q$
            shrinks to {field.variance_slope():.3f} a layer instead of staying, as with ReLU. Training may also move the
            weights themselves so far from $1/n$ that the fixed point moves; nothing holds them.""",
            "Ordinary dropout of 0.1 did not blow up. Is it harmless?": rf"""
            The fixed point has moved: the variance settles at {broken[2]["theory, variance"]:.3f} in training. In
            evaluation, without dropout, the same weights meet another level. That difference is what alpha dropout
            avoids ({broken[1]["theory, variance"]:.3f}).""",
        }
    )
    return


@app.cell
def _():
    lab.prose(r"""
    *Sources: LeCun et al., Efficient BackProp, 1998 (section 4.6). Klambauer et al., Self-Normalizing Neural Networks,
    NeurIPS 2017: they follow one unit with the sum $\omega$ and the sum of squares $\tau$ of its weights, and prove
    that the map contracts for $\omega$ near 0 and $\tau$ near 1; at $\omega = 0$, $\tau = 1$ theirs is the matrix
    above.*
    """)
    return


if __name__ == "__main__":
    app.run()
