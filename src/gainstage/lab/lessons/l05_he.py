# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""He and exact gains: a weight must make up for what its activation takes away."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="5. He and exact gains · gainstage lab")

with app.setup:
    from itertools import pairwise
    from math import pi, sqrt

    import marimo as mo
    import torch
    from torch import nn
    from torch.nn import functional as F

    import gainstage as gs
    from gainstage import lab

    LESSON = lab.lesson("l05_he")
    POINTS = (-3, -2, -1, 0, 1, 2, 3)
    HEIGHTS = (-0.3, -0.2, -0.1, 0, 1, 2, 3)  # a leaky ReLU of slope 0.1
    NAMES = ("relu", "leaky_relu", "gelu", "silu", "elu", "selu", "tanh", "sigmoid")


@app.cell
def _():
    lab.title(LESSON)
    return


@app.cell
def _():
    lab.prose(r"""
    An activation takes a part of the signal away: ReLU drops every negative value, tanh bends the large ones. The
    weights behind it can give back what was taken, if they are larger by the right factor. That factor is the **gain**
    of the activation. Every activation has its own, also one that you draw yourself.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The derivation

    Lesson 3 found what a layer $y = W\phi(z)$ hands on: $\mathbb{E}[y^2] = n\,\sigma_w^2\,\mathbb{E}[\phi(z)^2]$, with
    $n$ the fan in. We want the mean square $q$ that entered $\phi$ back. In a wide layer $z$ is a sum of many
    independent terms and so close to normal, $z = \sqrt q\, u$ with $u \sim \mathcal{N}(0, 1)$. Then

    $$\sigma_w^2 = \frac{g^2}{n} \qquad g^2 = \frac{q}{\mathbb{E}[\phi(\sqrt q\,u)^2]}$$

    and $g$ is the gain. It is usually taken at $q = 1$.

    **ReLU.** The normal distribution is symmetric and ReLU keeps one half of it untouched. So it keeps half of the mean
    square, $\mathbb{E}[\mathrm{ReLU}(z)^2] = q/2$ and $g^2 = 2$: the law of **He** (in PyTorch `kaiming_normal_`, after
    his first name), $\sigma_w^2 = 2/n$.

    **Leaky ReLU** multiplies the other half by a slope $a$: it keeps $(1 + a^2)/2$, and $g^2 = 2/(1 + a^2)$.

    **Backward**, the gradient is multiplied by $m\,\sigma_w^2\,\mathbb{E}[\phi'(z)^2]$, $m$ the fan out. For ReLU and
    leaky ReLU $\mathbb{E}[\phi'^2]$ is that same $(1 + a^2)/2$, so one gain serves both directions:
    $\sigma_w^2 = g^2/n$ keeps the signal, $\sigma_w^2 = g^2/m$ the gradient (`mode="fan_out"`). For other
    activations the two differ.
    """)
    return


@app.cell
def _():
    halves = []
    for _sigma in (0.5, 1.0, 2.0):
        _z = _sigma * lab.draw(gs.init.normal(), 1_000_000, seed=5)
        _square = gs.init.gaussian_mean(lambda z: z.relu().square(), variance=_sigma**2)
        _mean = gs.init.gaussian_mean(lambda z: z.relu(), variance=_sigma**2)
        halves.append(
            {
                "σ of z": _sigma,
                "E[ReLU²]": _square,
                "σ²/2": _sigma**2 / 2,
                "sampled E[ReLU²]": float(_z.relu().square().mean()),
                "Var(ReLU)": _square - _mean**2,
                "σ²(1/2 − 1/2π)": _sigma**2 * (1 / 2 - 1 / (2 * pi)),
                "sampled Var(ReLU)": float(_z.relu().var()),
            }
        )
    lab.table(halves, "What ReLU keeps: the second moment and the variance are not the same")
    return (halves,)


@app.cell
def _(halves):
    _one = next(row for row in halves if row["σ of z"] == 1.0)
    lab.prose(rf"""
    He's 2 is one over the *second moment*, {_one["E[ReLU²]"]:.4f}. One over the variance would be
    {1 / _one["Var(ReLU)"]:.4f}, the mistake of lesson 3's prediction.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The code

    For most activations the integral has no short formula. By hand it is a sum over a fine grid:
    """)
    return


@app.function
def gain_by_hand(phi):
    """One over the root of E[phi(z)²], z standard normal."""
    z = torch.linspace(-12, 12, 24001, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / sqrt(2 * pi)
    return float(torch.trapezoid(phi(z).square() * density, z)) ** -0.5


@app.cell
def _():
    lab.code(gain_by_hand)
    return


@app.cell
def _():
    lab.prose(r"""
    The library takes a name, a module or any function of one number, finds its kinks and jumps, and refuses what works
    on more than one number at a time (softmax):

    ```python
    gs.gain("gelu"), gs.gain(torch.nn.LeakyReLU(0.2)), gs.gain(lambda z: z.sin())
    gs.init.he_normal(nonlinearity="gelu")   # normal, variance gain² / fan_in
    ```
    """)
    return


@app.cell
def _():
    gains = []
    for _name in NAMES:
        _phi = gs.init.activation(_name)
        _field = gs.theory.MeanField(_name, weight_variance=gs.gain(_name) ** 2)
        try:
            _torch = f"{nn.init.calculate_gain(_name):.4f}"
        except ValueError:
            _torch = "none"
        gains.append(
            {
                "activation": _name,
                "E[φ²]": gs.init.gaussian_mean(lambda z, phi=_phi: phi(z).square()),
                "gain, gs.gain": gs.gain(_name),
                "by hand − gs.gain": gain_by_hand(_phi) - gs.gain(_name),
                "torch's table": _torch,
                "gradient, factor a layer": _field.slope(1.0),
                "error in q, factor a layer": _field.variance_slope(1.0),
            }
        )
    lab.table(gains, "Gains at mean square 1, exact; the last two columns use a weight variance of gain² / fan in")
    return (gains,)


@app.cell
def _(gains):
    _by = {row["activation"]: row for row in gains}
    lab.prose(rf"""
    How to read the last two columns. *Gradient*: what one layer of equal fans multiplies the mean square of the
    gradient by. ReLU and leaky ReLU have 1; GELU has {_by["gelu"]["gradient, factor a layer"]:.3f}, so a start that is
    right forward lets the gradient grow slowly backward. *Error in q*: what becomes of a small deviation from mean
    square 1. Above 1 it grows, below 1 it heals. ReLU neither grows nor heals it; GELU and SiLU let it grow, tanh and
    SELU heal it (lesson 6).

    PyTorch's `calculate_gain` is a table of a few activations. Its SELU, {_by["selu"]["torch's table"]}, is not
    {_by["selu"]["gain, gs.gain"]:.4g}, and its tanh, {_by["tanh"]["torch's table"]}, not
    {_by["tanh"]["gain, gs.gain"]:.4f}: those were chosen for other reasons. For GELU and SiLU it has
    {_by["gelu"]["torch's table"]}.

    One more number to know: `nn.Linear` is filled by `kaiming_uniform_` with $a = \sqrt 5$. That is no slope of any
    activation, but a way to write $g^2 = 2/(1+5) = {2 / (1 + 5):.3f}$: less than any gain above, squared.
    """)
    return


@app.cell
def _():
    committed, commit = mo.state(None, allow_self_loops=True)
    return commit, committed


@app.cell
def _():
    DEPTH = 30
    OPTIONS = ["It stays above a third", "It falls to between 1/3 and 1/30", "It falls below 1/30"]
    prediction = lab.Predict(
        LESSON,
        rf"""
        GELU looks almost like ReLU, so a colleague starts a {DEPTH}-layer GELU network with He's law for ReLU,
        $g = \sqrt 2 = {sqrt(2):.4f}$. GELU's own gain at mean square 1 is {gs.gain("gelu"):.4f}, so every layer loses a
        factor of {sqrt(2) / gs.gain("gelu"):.3f}: after {DEPTH - 1} layers
        {(sqrt(2) / gs.gain("gelu")) ** (DEPTH - 1):.3f} would be left. What becomes of the level from the first layer
        to the last?
        """.strip(),
        OPTIONS,
    )
    return DEPTH, OPTIONS, prediction


@app.cell
def _(commit, committed, prediction):
    prediction.ask(committed, commit)
    return


@app.cell
def _(DEPTH, OPTIONS):
    _x = lab.draw(gs.init.normal(), 128, 256, seed=0)
    _tape = gs.record(chain(DEPTH, 256, F.gelu, gs.init.he_normal()), _x, backward=False)
    _levels = [site.forward.rms for site in _tape if site.op == "linear"]
    left = _levels[-1] / _levels[0]
    truth = OPTIONS[0] if left > 1 / 3 else OPTIONS[1] if left > 1 / 30 else OPTIONS[2]
    gelu_gains = {q: gs.gain("gelu", mean_square=q) for q in (1.0, 0.1, 0.01, 1e-6)}
    return gelu_gains, left, truth


@app.cell
def _(DEPTH, committed, gelu_gains, left, prediction, truth):
    prediction.reveal(
        committed(),
        truth,
        rf"""
        From layer 1 to layer {DEPTH} a share of {left:.2g} is left. The gain of GELU is not one number: it is
        {gelu_gains[1.0]:.3f} at mean square 1, {gelu_gains[0.1]:.3f} at 0.1 and {gelu_gains[0.01]:.3f} at 0.01. The
        smaller the signal, the straighter GELU is around 0, until it is no more than $z/2$ with gain
        {gelu_gains[1e-6]:.3f}. So each loss makes the next one larger. ReLU has the same gain at every level, because
        $\mathrm{{ReLU}}(cz) = c\,\mathrm{{ReLU}}(z)$ for $c > 0$.
        """,
    )
    return


@app.cell
def _():
    lab.prose(r"""
    ## Measure it: draw your own activation

    Choose **drawn** and set the heights of the seven points; between them the activation is straight, and beyond the
    outer ones it goes on as it came. Or choose **typed** and write a formula of `z`; it is run as Python on your own
    machine, and it is never taken from a link. The gain is computed from whatever function comes out. It is given to
    all weights but the first, before which no activation stands.
    """)
    return


@app.function
def through(heights):
    """The function that joins the heights at -3, -2, ..., 3 by straight lines."""
    slopes = [b - a for a, b in pairwise(heights)]

    def phi(z):
        y = heights[0] + slopes[0] * (z - POINTS[0])
        for x, (before, after) in zip(POINTS[1:], pairwise(slopes), strict=False):
            if before != after:
                y = y + (after - before) * (z - x).relu()
        return y

    return phi


@app.function
def typed(formula):
    """The function of a formula in `z`."""
    return lab.compiled(f"F = nn.functional\n\ndef phi(z):\n    return {formula.strip()}", "phi")


@app.class_definition
class Apply(nn.Module):
    """A function as a layer."""

    def __init__(self, phi):
        super().__init__()
        self.phi = phi

    def forward(self, x):
        """phi(x)."""
        return self.phi(x)


@app.function
def chain(depth, width, phi, law, seed=0):
    """A plain chain of square layers without bias; the first weight, behind no activation, has gain 1."""
    layers = [layer for _ in range(depth) for layer in (nn.Linear(width, width, bias=False), Apply(phi))]
    model = nn.Sequential(*layers[:-1])
    for name, weight in model.named_parameters():
        gs.init.fill_(weight, gs.init.lecun_normal() if name == "0.weight" else law, seed=seed, name=name)
    return model


@app.cell
def _():
    kind = lab.dropdown("activation", ["drawn", "typed", *NAMES], "drawn", label="Activation")
    formula = mo.ui.text("z * torch.sigmoid(1.702 * z)", label="Typed: φ(z) =", full_width=True)
    formula.lab_label = "Typed: φ(z) ="
    p0, p1, p2, p3, p4, p5, p6 = (
        lab.slider(f"p{i}", -3, 3, height, label=f"Height at z = {x}", step=0.1)
        for i, (x, height) in enumerate(zip(POINTS, HEIGHTS, strict=True))
    )
    lab.stack(lab.panel(kind, formula), lab.panel(p0, p1, p2, p3, p4, p5, p6))
    return formula, kind, p0, p1, p2, p3, p4, p5, p6


@app.cell
def _():
    law = lab.dropdown("law", ["its own gain", "He: √2", "LeCun: 1"], "its own gain", label="Gain of the weights")
    depth = lab.slider("depth", 2, 40, 20, label="Depth (layers)")
    width = lab.slider("width", 16, 256, 128, label="Width (units)", step=16)
    seed = lab.slider("seed", 0, 20, 0, label="Seed")
    lab.panel(law, depth, width, seed)
    return depth, law, seed, width


@app.cell
def _(formula, kind, p0, p1, p2, p3, p4, p5, p6):
    try:
        phi = (
            through([p.value for p in (p0, p1, p2, p3, p4, p5, p6)])
            if kind.value == "drawn"
            else typed(formula.value)
            if kind.value == "typed"
            else gs.init.activation(kind.value)
        )
        gain, problem = gs.gain(phi), ""
    except Exception as _error:  # of a formula that was typed: anything
        phi, gain, problem = nn.Identity(), 1.0, f"{type(_error).__name__}: {_error}"
    return gain, phi, problem


@app.cell
def _(problem):
    _said = "This function has no gain. The measurements below are of φ(z) = z instead."
    lab.note("wrong", lab.prose(f"{_said}\n\n```text\n{problem}\n```")) if problem else None
    return


@app.cell
def _(gain, phi):
    _field = gs.theory.MeanField(phi, weight_variance=gain**2)
    gradient_factor = _field.slope(1.0)
    lab.readout(
        gain=gain,
        by_hand=gain_by_hand(phi),
        share_of_mean_square_kept=1 / gain**2,
        gradient_factor_a_layer=gradient_factor,
        error_in_q_factor_a_layer=_field.variance_slope(1.0),
    )
    return (gradient_factor,)


@app.cell
def _(phi):
    _z = torch.linspace(-4, 4, 161, dtype=torch.float64)
    lab.lines(
        [{"z": float(z), "φ(z)": float(y)} for z, y in zip(_z, phi(_z), strict=True)],
        "z",
        "φ(z)",
        says="The activation",
        points=False,
        height=180,
    )
    return


@app.cell
def _(depth, gain, law, phi, seed, width):
    factor = {"its own gain": gain, "He: √2": sqrt(2), "LeCun: 1": 1.0}[law.value]
    _x = lab.draw(gs.init.normal(), 256, width.value, seed=0)
    _tape = gs.record(chain(depth.value, width.value, phi, gs.init.lecun_normal(factor), seed.value), _x)
    sites = [site for site in _tape if site.op == "linear"]
    forward = [site.forward.rms for site in sites]
    backward = [site.backward.rms for site in sites]
    return backward, factor, forward, sites


@app.cell
def _(depth, factor, phi):
    _field, _q, _settled, theory = gs.theory.MeanField(phi, weight_variance=factor**2), 1.0, False, []
    for _ in range(depth.value):
        theory.append(sqrt(_q))
        _settled = _settled or not 1e-30 < _q < 1e30  # an integral costs more than a layer: none where nothing moves
        if not _settled:
            _before, _q = _q, _field.variance(_q)
            _settled = abs(_q / _before - 1) < 1e-9
    return (theory,)


@app.cell
def _(backward, committed, forward, prediction, sites, theory):
    _last = sites[-1].forward
    prediction.gate(
        committed(),
        lab.readout(
            level_last_over_first=forward[-1] / forward[0] if forward[0] else float("nan"),
            theory_last_over_first=theory[-1] / theory[0],
            gradient_first_over_last=backward[0] / backward[-1] if backward[-1] else float("nan"),
            share_that_differs_between_samples=_last.variance_between / _last.mean_square
            if _last.mean_square
            else float("nan"),
        ),
    )
    return


@app.cell
def _(backward, committed, forward, prediction, theory):
    _series = {"signal, measured": forward, "signal, theory": theory, "gradient, measured": backward}
    prediction.gate(
        committed(),
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
        ),
    )
    return


@app.cell
def _(committed, forward, gain, gradient_factor, kind, law, prediction):
    _both = "keep their level together" if abs(gradient_factor - 1) < 0.02 else "cannot both be kept by one scale"
    prediction.gate(
        committed(),
        lab.prose(rf"""
    The activation "{kind.value}" has gain {gain:.4f}; with "{law.value}" the level went from {forward[0]:.3g} to
    {forward[-1]:.3g}. A gradient factor of {gradient_factor:.3g} a layer means that signal
    and gradient {_both}.

    Things to find: an activation that is a straight line, and its gain; that lifting *all* points together leaves the
    level flat at its own gain while the samples become alike (the last number above falls); that a zigzag keeps the
    level and the samples apart, while its gradient explodes; that all heights at 0 have no gain, and why.
    """),
    )
    return


@app.cell
def _():
    he_tried, tell_he = mo.state(None, allow_self_loops=True)
    return he_tried, tell_he


@app.cell
def _(tell_he):
    exercise_he = lab.exercises.widget("he", mo)
    exercise_he.ask(tell_he)
    return (exercise_he,)


@app.cell
def _(exercise_he, he_tried):
    exercise_he.result(he_tried())
    return


@app.cell
def _():
    relu_tried, tell_relu = mo.state(None, allow_self_loops=True)
    return relu_tried, tell_relu


@app.cell
def _(tell_relu):
    exercise_relu = lab.exercises.widget("relu", mo)
    exercise_relu.ask(tell_relu)
    return (exercise_relu,)


@app.cell
def _(exercise_relu, relu_tried):
    exercise_relu.result(relu_tried())
    return


@app.cell
def _():
    graded, grade = mo.state(None, allow_self_loops=True)
    return grade, graded


@app.cell
def _():
    CHAIN = 20
    LAWS = {
        "PyTorch's default: kaiming_uniform, a = √5": gs.init.torch_default(),
        "LeCun: gain 1": gs.init.lecun_normal(),
        "leaky ReLU, a = 1": gs.init.he_normal(a=1.0),
        "he_normal: the activation's own gain": None,
    }

    def build(law, activation):
        """A chain for the digits, every weight filled by one law."""
        taken = LAWS[law] or gs.init.he_normal(nonlinearity=activation)
        model = chain(CHAIN, 64, gs.init.activation(activation), taken)
        return gs.Subject(model, lab.digits().x[:128], lab.digits().y[:128], F.cross_entropy)

    fix = lab.Fix(
        LESSON,
        f"""
        All but the first of these {CHAIN} layers were left as PyTorch makes them; "it says kaiming, so it must be right
        for this kind of activation". Choose a law with which `gs.check` finds nothing above a note.
        """.strip(),
        build,
        {"law": list(LAWS), "activation": ["gelu", "silu"]},
        {"law": "Law", "activation": "Activation of the network"},
        demands=lab.keeps_its_level(),
        train=lab.on_digits(adam=1e-3),
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

w = torch.empty(256, 128)
g = gs.gain(lambda z: z * torch.sigmoid(1.702 * z))        # any activation
gs.init.fill_(w, gs.init.lecun_normal(g), seed=0, name="fc")
gs.init.he_normal_(w, nonlinearity="relu")                 # as in torch.nn.init
""",
    )
    lab.stack(take_home)
    return (take_home,)


@app.cell
def _(gains, gelu_gains):
    _by = {row["activation"]: row for row in gains}
    lab.questions(
        {
            "Why is He's variance twice LeCun's, and not some other multiple?": r"""
            ReLU keeps $\mathbb{E}[\mathrm{ReLU}(z)^2] = q/2$ of the mean square of any symmetric signal, normal or not:
            one half of the distribution is kept as it is. The factor 2 gives it back.""",
            "With a = 0.01, how much does the leaky ReLU's gain differ from ReLU's?": rf"""
            $\sqrt{{2/(1+0.0001)}}$: {_by["leaky_relu"]["gain, gs.gain"]:.6f} against
            {_by["relu"]["gain, gs.gain"]:.6f}. A slope of 1 is a linear layer, with gain 1.""",
            "fan_in or fan_out?": r"""
            fan_in keeps the signal, fan_out the gradient. He et al. show that in a plain network either is enough: the
            two differ by a constant over the *whole* network, the product of all $n_l / m_l$, in which all but the
            first and last width cancel. They do not differ by a factor per layer.""",
            "Sigmoid has a gain. Why is a deep sigmoid network with that gain still no good?": rf"""
            Its output is always positive, so most of its mean square is a constant that tells no sample from another.
            The level is kept while the samples become alike, and the gradient is multiplied by
            {_by["sigmoid"]["gradient, factor a layer"]:.3f} a layer. The level is needed and not enough.""",
            "Which activations have one gain for every level of the signal?": rf"""
            Those with $\phi(cz) = c\,\phi(z)$ for $c > 0$: ReLU, leaky ReLU, the identity, the absolute value. GELU's
            runs from {gelu_gains[1.0]:.3f} at mean square 1 to {gelu_gains[1e-6]:.3f} for small signals.""",
            "Must the gain be exact?": r"""
            In a shallow network, or one with normalization layers, no. In a deep plain one an error of 5 % in the gain
            is an error of $1.05^{L}$ after $L$ layers, even where the activation does not make it worse.""",
        }
    )
    return


@app.cell
def _():
    lab.prose(r"""
    *Sources: He et al., Delving Deep into Rectifiers, ICCV 2015. Hendrycks & Gimpel, Gaussian Error Linear Units, 2016.
    Brock et al., Characterizing signal propagation, ICLR 2021 (the gain of any activation).*
    """)
    return


if __name__ == "__main__":
    app.run()
