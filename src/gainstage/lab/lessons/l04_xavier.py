# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Xavier: signal and gradient must both keep their level, as far as one scale allows."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="4. Xavier · gainstage lab")

with app.setup:
    from itertools import pairwise
    from math import sqrt

    import marimo as mo
    from torch import nn

    import gainstage as gs
    from gainstage import lab

    LESSON = lab.lesson("l04_xavier")
    ACTIVATIONS = {"linear": nn.Identity, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
    LAWS = {
        "Xavier, normal: 2/(in + out)": gs.init.xavier_normal(),
        "Xavier, uniform: 2/(in + out)": gs.init.xavier_uniform(),
        "forward only: 1/in (Caffe's Xavier)": gs.init.caffe_xavier_normal(),
        "backward only: 1/out": gs.init.variance_scaling(1.0, "fan_out", "normal"),
    }


@app.cell
def _():
    lab.title(LESSON)
    return


@app.cell
def _():
    lab.prose(r"""
    A layer with 256 inputs and 32 outputs adds up 256 numbers on the way forward and 32 on the way back. The signal
    wants small weights there, the gradient wants larger ones, and there is only one set of weights. In 2010 Xavier
    Glorot and Yoshua Bengio proposed to meet in the middle. This lesson shows what the compromise gives, what it costs,
    and why two books can mean different things by "Xavier".
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The derivation

    Near 0, tanh is a straight line of slope 1: $\tanh(z) \approx z$. As long as signals stay small, a tanh network is
    nearly linear, and lesson 3 gives for a layer of $n$ inputs (fan in) and $m$ outputs (fan out)

    $$\text{forward: } \mathbb{E}[y^2] = n\,\sigma_w^2\;\mathbb{E}[x^2] \qquad
      \text{backward: } \mathbb{E}[g_x^2] = m\,\sigma_w^2\;\mathbb{E}[g_y^2]$$

    The signal keeps its level if $\sigma_w^2 = 1/n$, the gradient keeps its level if $\sigma_w^2 = 1/m$. Both hold only
    for a square layer. In between, take the average of $n$ and $m$:

    $$\sigma_w^2 = \frac{1}{(n + m)/2} = \frac{2}{n + m}$$

    That is **Xavier's** (or **Glorot's**) law. One layer then multiplies the signal's mean square by $2n/(n+m)$ and the
    gradient's by $2m/(n+m)$.

    **Uniform or normal?** Only the variance entered, so any distribution will do. A normal one has standard deviation
    $\sqrt{2/(n+m)}$. A uniform one on $[-r, r]$ has variance $r^2/3$, so $r = \sqrt{6/(n+m)}$.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The code

    By hand, from uniform numbers $u$ between 0 and 1 or from standard normal numbers $z$:
    """)
    return


@app.function
def xavier_uniform_by_hand(u):
    """`[fan_out, fan_in]` numbers from 0 to 1, stretched to ±r."""
    r = sqrt(6 / sum(u.shape))
    return r * (2 * u - 1)


@app.function
def xavier_normal_by_hand(z):
    """`[fan_out, fan_in]` standard normal numbers, scaled."""
    return sqrt(2 / sum(z.shape)) * z


@app.cell
def _():
    lab.code(xavier_uniform_by_hand, xavier_normal_by_hand)
    return


@app.cell
def _():
    lab.prose(r"""
    In the library a law is a value, and the underscore fills a tensor in place, as in `torch.nn.init`:

    ```python
    gs.init.xavier_uniform_(weight)
    gs.init.fill_(weight, gs.init.xavier_uniform(), seed=0, name="fc")
    ```

    Both are given the same random numbers, for a layer of 256 inputs and 32 outputs:
    """)
    return


@app.cell
def _():
    _shape = (32, 256)
    _pairs = {
        "uniform": (xavier_uniform_by_hand(lab.draw(gs.init.uniform(0.0, 1.0), *_shape)), gs.init.xavier_uniform()),
        "normal": (xavier_normal_by_hand(lab.draw(gs.init.normal(), *_shape)), gs.init.xavier_normal()),
    }
    drawn = []
    for _name, (_mine, _law) in _pairs.items():
        _theirs = lab.draw(_law, *_shape)
        drawn.append(
            {
                "distribution": _name,
                "std, measured": float(_theirs.std()),
                "√(2/(n+m))": sqrt(2 / sum(_shape)),
                "largest weight": float(_theirs.abs().max()),
                "√(6/(n+m))": sqrt(6 / sum(_shape)),
                "by hand − library": float((_mine - _theirs).abs().max()),
            }
        )
    lab.table(drawn, "Xavier's law, uniform and normal: one standard deviation, another largest weight")
    return (drawn,)


@app.cell
def _():
    lab.prose(r"""
    ## Two definitions in the books

    Caffe's filler averages over the fan in unless it is told otherwise, and a widely read course teaches the same
    formula. Keras cuts its `GlorotNormal` off at two deviations and keeps the variance. The one-sided law is LeCun's of
    lesson 6 under another name. For square layers both are the same; for others, not.
    """)
    return


@app.cell
def _():
    lab.table(
        [
            {"who": "Glorot & Bengio, PyTorch, Keras, Dive into Deep Learning", "variance": "2/(n + m)"}
            | {"in gs.init": "xavier_normal, xavier_uniform"},
            {"who": "Caffe (uniform), Ng's Deep Learning Specialization", "variance": "1/n"}
            | {"in gs.init": "caffe_xavier_normal, caffe_xavier_uniform"},
        ],
        'What "Xavier" means',
    )
    return


@app.cell
def _():
    definitions = []
    for _n, _m in ((256, 256), (784, 256), (256, 10), (64, 1024)):
        _weight = lab.draw(gs.init.xavier_normal(), _m, _n)
        _caffe = lab.draw(gs.init.caffe_xavier_normal(), _m, _n)
        definitions.append(
            {
                "layer": f"{_n} → {_m}",
                "std, 2/(n+m)": float(_weight.std()),
                "std, 1/n": float(_caffe.std()),
                "ratio": float(_caffe.std() / _weight.std()),
                "√((n+m)/2n)": sqrt((_n + _m) / (2 * _n)),
            }
        )
    lab.table(definitions, "The same name, two standard deviations")
    return (definitions,)


@app.cell
def _():
    lab.prose(r"""
    ## Measure it

    The widths alternate: first width, second width, first, second. With both the same, all layers are square.
    The theory is that of lesson 3 for an infinitely wide network, one factor $n\,\sigma_w^2$ a layer
    (`gs.theory.MeanField`).
    """)
    return


@app.function
def alternating(depth, first, second, law, activation="linear", seed=0):
    """A chain whose widths are first, second, first, ...; every weight from one law, no biases."""
    widths = [first if i % 2 == 0 else second for i in range(depth + 1)]
    layers = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out, bias=False), ACTIVATIONS[activation]()]
    model = nn.Sequential(*layers[:-1])
    for name, weight in model.named_parameters():
        gs.init.fill_(weight, law, seed=seed, name=name)
    return model


@app.function
def levels(model, width, backward=True):
    """Root mean square of signal and gradient behind every weight, and the last layer's moments."""
    tape = gs.record(model, lab.draw(gs.init.normal(), 256, width), backward=backward)
    sites = [site for site in tape if site.op == "linear"]
    return [s.forward.rms for s in sites], [s.backward.rms for s in sites] if backward else [], sites[-1].forward


@app.cell
def _():
    law = lab.dropdown("law", list(LAWS), "Xavier, normal: 2/(in + out)", label="Law of the weights")
    activation = lab.dropdown("activation", list(ACTIVATIONS), "linear", label="Activation")
    factor = lab.slider("gain", 0.5, 5, 1, label="Gain (factor on the weights)", step=0.05)
    depth = lab.slider("depth", 2, 40, 20, label="Depth (layers)")
    first = lab.slider("first", 16, 256, 128, label="First width (units)", step=16)
    second = lab.slider("second", 16, 256, 64, label="Second width (units)", step=16)
    seed = lab.slider("seed", 0, 20, 0, label="Seed")
    lab.panel(law, activation, factor, depth, first, second, seed)
    return activation, depth, factor, first, law, second, seed


@app.cell
def _(activation, depth, factor, first, law, second, seed):
    _law = LAWS[law.value].scaled(factor.value)
    _model = alternating(depth.value, first.value, second.value, _law, activation.value, seed.value)
    forward, backward, last = levels(_model, first.value)
    weights = [(w.shape[1], w.shape[0], float(w.detach().var())) for w in _model.parameters()]
    return backward, forward, last, weights


@app.function
def predicted(weights, phi):
    """The level behind every weight of an infinitely wide network, from (fan in, fan out, variance) of each."""
    fields = {w[:2]: gs.theory.MeanField(phi, weight_variance=w[0] * w[2]) for w in weights[:2]}
    q, found = weights[0][0] * weights[0][2], []  # the input has mean square 1
    for fan_in, fan_out, _ in weights[1:]:
        found.append(sqrt(q))
        q = fields[fan_in, fan_out].variance(q)
    return [*found, sqrt(q)]


@app.cell
def _(activation, weights):
    theory = predicted(weights, ACTIVATIONS[activation.value]())
    return (theory,)


@app.cell
def _(backward, forward, last, theory):
    lab.readout(
        signal_last_over_first=forward[-1] / forward[0],
        theory_last_over_first=theory[-1] / theory[0],
        gradient_first_over_last=backward[0] / backward[-1],
        share_that_differs_between_samples=last.variance_between / last.mean_square,
    )
    return


@app.cell
def _(backward, forward, theory):
    _series = {"signal, measured": forward, "signal, theory": theory, "gradient, measured": backward}
    lab.lines(
        [
            {"layer": i + 1, "root mean square": v, "what": what}
            for what, found in _series.items()
            for i, v in enumerate(found)
        ],
        "layer",
        "root mean square",
        by="what",
        says="Signal and gradient by layer",
        log_y=True,
    )
    return


@app.cell
def _(first, second, weights):
    _n, _m, _v = weights[0]
    lab.prose(rf"""
    The first layer has {_n} inputs and {_m} outputs. Its weights have variance {_v:.3g}: it multiplies the signal's
    mean square by {_n * _v:.3f} and the gradient's by {_m * _v:.3f}, before the activation.
    {"Square layers: every law is the same law." if first.value == second.value else "Now compare the four laws."}

    Things to find: with equal widths, that the law does not matter; with widths 32 and 256, which laws keep the signal,
    which the gradient, and which neither; that tanh with gain 1 loses its level slowly, not exponentially; what sigmoid
    does to the share that differs between samples, at any gain.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## tanh and sigmoid

    The derivation assumed a slope of 1 and no mean. tanh has both, near 0. The sigmoid $1/(1 + e^{-z})$ has neither: at
    0 its slope is 1/4 and its value 1/2. The slope can be repaired by a factor of 4 on the weights; the value can not,
    since it is a constant that every layer adds. The table computes where an infinitely deep network settles.
    """)
    return


@app.cell
def _():
    settled = []
    for _name, _gains in (
        ("tanh", {"1": 1.0, "exact, gs.gain": gs.gain("tanh"), "5/3 (PyTorch's table)": 5 / 3}),
        ("sigmoid", {"1": 1.0, "exact, gs.gain": gs.gain("sigmoid"), "4 (slope 1/4)": 4.0}),
    ):
        _phi = gs.init.activation(_name)
        for _what, _g in _gains.items():
            _field = gs.theory.MeanField(_name, weight_variance=_g**2)
            _q = _field.fixed_point()
            _mean = gs.init.gaussian_mean(_phi, variance=_q)
            _square = gs.init.gaussian_mean(lambda z, phi=_phi: phi(z).square(), variance=_q)
            settled.append(
                {
                    "activation": _name,
                    "gain": _what,
                    "as a number": _g,
                    "level it settles at": sqrt(_q),
                    "gradient, factor a layer": _field.slope(_q),
                    "constant part of φ, share": round(_mean**2 / _square, 12) if _square else 0.0,
                }
            )
    alike = gs.theory.MeanField("sigmoid", weight_variance=gs.gain("sigmoid") ** 2).correlation_fixed_point()
    lab.table(settled, "Infinitely deep and wide, square layers: factors are of the mean square")
    return alike, settled


@app.cell
def _(alike, settled):
    _tanh, _sigmoid = settled[0], settled[3]
    lab.prose(rf"""
    tanh with gain 1: the level tends to {_tanh["level it settles at"]:.2g}, but ever more slowly, because a smaller
    signal meets a straighter tanh; the gradient's factor tends to {_tanh["gradient, factor a layer"]:.3f}. This is what
    Glorot and Bengio built on. Sigmoid with gain 1: the gradient loses a factor of
    {1 / _sigmoid["gradient, factor a layer"]:.0f} in every layer, and {_sigmoid["constant part of φ, share"]:.1%} of
    the mean square that it hands on is one constant, the same for all samples. Its exact gain keeps the level at
    {settled[4]["level it settles at"]:.3g}, but of a level that is mostly constant: the correlation of any two samples
    tends to {alike:.3f}. A factor of 4 does not save the gradient either: the constant, multiplied by the larger
    weights, pushes the sigmoid to where its slope is below 1/4.
    """)
    return


@app.cell
def _():
    committed, commit = mo.state(None, allow_self_loops=True)
    return commit, committed


@app.cell
def _():
    DEPTH, NARROW, WIDE = 20, 32, 256
    OPTIONS = ["Both keep their level within a factor of 3", "Both fall below a tenth", "One falls, the other grows"]
    prediction = lab.Predict(
        LESSON,
        f"""
        A linear network of {DEPTH} layers has widths that alternate between {NARROW} and {WIDE}. Its weights follow
        Xavier's law, the compromise of forward and backward. What becomes of signal and gradient on their way through
        all layers?
        """.strip(),
        OPTIONS,
    )
    return DEPTH, NARROW, OPTIONS, WIDE, prediction


@app.cell
def _(commit, committed, prediction):
    prediction.ask(committed, commit)
    return


@app.cell
def _(DEPTH, NARROW, OPTIONS, WIDE):
    compromise = []
    for _name in list(LAWS)[::2] + list(LAWS)[3:]:
        _forward, _backward, _ = levels(alternating(DEPTH + 1, NARROW, WIDE, LAWS[_name]), NARROW)
        compromise.append(  # over DEPTH layers, between two places of the same width
            {"law": _name, "signal": _forward[-1] / _forward[0], "gradient": _backward[0] / _backward[-1]}
        )
    _signal, _gradient = compromise[0]["signal"], compromise[0]["gradient"]
    truth = (
        OPTIONS[0]
        if all(1 / 3 < v < 3 for v in (_signal, _gradient))
        else OPTIONS[1]
        if max(_signal, _gradient) < 0.1
        else OPTIONS[2]
    )
    per_pair = 4 * NARROW * WIDE / (NARROW + WIDE) ** 2
    return compromise, per_pair, truth


@app.cell
def _(DEPTH, NARROW, WIDE, committed, compromise, per_pair, prediction, truth):
    _one = compromise[0]
    prediction.reveal(
        committed(),
        truth,
        lab.stack(
            lab.prose(rf"""
            A share of {_one["signal"]:.2g} of the signal's level is left, and {_one["gradient"]:.2g} of the gradient's.
            Two layers, {NARROW} to {WIDE} and back, multiply the mean square by
            $\frac{{2n}}{{n+m}} \cdot \frac{{2m}}{{n+m}} = \frac{{4nm}}{{(n+m)^2}} = {per_pair:.3f}$, forward *and*
            backward, and that is below 1 for all $n \ne m$. After {DEPTH} layers the level is down to
            {per_pair:.3f} to the power {DEPTH}/4, {per_pair ** (DEPTH / 4):.2g}. The two one-sided laws do better here:
            theirs is the error $m/n$ in one layer and $n/m$ in the next, which cancels.
            """),
            lab.table(compromise, f"Level behind {DEPTH} layers over the level before them"),
        ),
    )
    return


@app.cell
def _():
    graded, grade = mo.state(None, allow_self_loops=True)
    return grade, graded


@app.cell
def _():
    CHAIN = 30
    FIX_LAWS = {
        "uniform ±1/√n (the habit before 2010)": gs.init.torch_default(),
        "uniform ±1/n": gs.init.variance_scaling(1 / (3 * 64), "fan_in", "uniform"),
        "normal, std 0.05": gs.init.normal(std=0.05),
        "xavier_uniform": gs.init.xavier_uniform(),
    }

    def build(law, activation):
        """A chain on random samples, every weight filled by one law."""
        model = alternating(CHAIN, 64, 64, FIX_LAWS[law], activation)
        return gs.Subject(model, lab.draw(gs.init.normal(), 128, 64, seed=0))

    fix = lab.Fix(
        LESSON,
        f"""
        {CHAIN} layers of 64 units, started by the rule that Glorot and Bengio found in use: uniform between
        $-1/\\sqrt n$ and $1/\\sqrt n$. Choose a law and an activation with which `gs.check` finds nothing above a note.
        """.strip(),
        build,
        {"law": list(FIX_LAWS), "activation": ["tanh", "sigmoid"]},
        {"law": "Weights", "activation": "Activation of the network"},
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

w = torch.empty(32, 256)  # 256 inputs, 32 outputs
print(gs.init.xavier_normal().concrete(w.shape))        # 2/(n + m)
print(gs.init.caffe_xavier_normal().concrete(w.shape))  # 1/n
gs.init.xavier_uniform_(w, gain=gs.gain("tanh"))
""",
    )
    lab.stack(take_home)
    return (take_home,)


@app.cell
def _(drawn, per_pair, settled):
    lab.questions(
        {
            "Why the average of n and m, and not of 1/n and 1/m?": r"""
            Any value in between is a compromise; Glorot and Bengio chose $2/(n+m)$. It makes the two errors
            $2n/(n+m)$ and $2m/(n+m)$ add up to 2, so neither can be larger than 2, however unequal the layer.""",
            "Uniform or normal: which is better?": rf"""
            For the level of the signal neither: only the variance counts (both have {drawn[0]["√(2/(n+m))"]:.4f} in the
            table). They differ in the largest weight: a uniform one is bounded, here by
            {drawn[0]["√(6/(n+m))"]:.3f}, while the normal one reached {drawn[1]["largest weight"]:.3f}.""",
            "A paper says 'Xavier initialization, 1/n'. A mistake?": r"""
            No, the other definition: Caffe's and Ng's. Who repeats the experiment should write the formula and not the
            name. For a layer from 64 to 1024 units the two differ by a factor of nearly 3 in the standard
            deviation.""",
            "Then why does anyone use Xavier, if one-sided laws cancel better?": rf"""
            In a chain, $1/n$ is exact forward and its errors backward multiply to $n_L/n_0$, last width over first, no
            more. Xavier loses {1 - per_pair:.0%} of the mean square in each pair of layers of widths 32 and 256. It is
            a bound per layer ("at most a factor of 2, either way"), and most networks have few layers that are far from
            square.""",
            "tanh has a gain of its own. Why did Glorot and Bengio use 1?": rf"""
            They assume the linear range, where the gain is 1 and the gradient's factor is
            {settled[0]["gradient, factor a layer"]:.3f}. With the exact gain {settled[1]["as a number"]:.3f} the level
            stays at {settled[1]["level it settles at"]:.3g}, but the gradient grows by
            {settled[1]["gradient, factor a layer"]:.3f} a layer in mean square, for tanh bends what the weights have
            stretched.""",
            "Could another bias repair the sigmoid?": r"""
            A bias cannot take away the mean of *every* unit's output, but the next layer's can: the constant 1/2 is the
            same for all samples. Simplest is to subtract 1/2 and multiply by 2, which gives $\tanh(z/2)$.""",
        }
    )
    return


@app.cell
def _():
    lab.prose(r"""
    *Sources: Glorot & Bengio, Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010
    (equations 10 to 16). Jia et al., Caffe, 2014 (`XavierFiller`).*
    """)
    return


if __name__ == "__main__":
    app.run()
