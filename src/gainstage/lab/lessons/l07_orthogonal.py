# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Orthogonal weights and depth: no direction of the signal may vanish or explode."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="7. Orthogonal weights and depth · gainstage lab")

with app.setup:
    from itertools import pairwise
    from math import log10, sqrt

    import marimo as mo
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    import gainstage as gs
    from gainstage import lab

    LESSON = lab.lesson("l07_orthogonal")
    STEPS, UNITS, SAMPLES, ALIVE = 10_000, 64, 32, 0.01
    ACTIVATIONS = {"linear": nn.Identity, "relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}
    KEEPS = {"linear": 1.0, "relu": sqrt(2), "gelu": gs.gain("gelu"), "tanh": 1.0}  # scale of plain weights
    PAIRS = {"linear": 0.5, "relu": 1.0, "gelu": 1.0, "tanh": 0.5}  # phi(z) - phi(-z) is about z / this


@app.cell
def _():
    lab.title(LESSON)
    return


@app.cell
def _():
    lab.prose(r"""
    Lessons 3 to 6 kept the *average* size of a signal. An average can hide a lot: one direction of the signal may grow
    a
    thousandfold while all others die, and the average stays. Who wants to go very deep, or through thousands of steps
    of
    a recurrent network, has to look at every direction.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The derivation

    A matrix $W$ turns a sphere into an ellipsoid. The half-axes of that ellipsoid are its **singular values**
    $s_1 \ge s_2 \ge \dots \ge s_n$: along one direction of the input $W$ stretches by $s_1$, along another by only
    $s_n$.

    - *Independent entries* of variance $1/n$: the **mean** of $s_i^2$ is 1, but the values fill the whole range from 0
      to 2. Multiply $L$ such matrices and the spread is multiplied too.
    - *Orthogonal*, $W^\top W = I$: then $\lVert Wx \rVert^2 = x^\top W^\top W x = \lVert x \rVert^2$. **Every** $s_i$
      is 1, and a product of orthogonal matrices is orthogonal again. Nothing is lost after $L$ layers, whatever $L$.

    A **recurrent** network multiplies by the *same* matrix at every step: $h_t = W h_{t-1}$. A gain $g$ then becomes
    $g^t$.

    Between the weights of a real network stand activations. What one layer does to a small change of its input is
    $D_l W_l$, with $D_l$ the diagonal of the slopes $\phi'$. All layers together have the Jacobian

    $$J = D_L W_L \cdots D_2 W_2\, D_1 W_1$$

    If all its singular values are near 1, every direction arrives and every direction of the gradient returns. This is
    called **dynamical isometry**. A ReLU spoils it: half of its slopes are 0, whatever the weights. One trick brings it
    back. Because $\mathrm{ReLU}(z) - \mathrm{ReLU}(-z) = z$, units in pairs of opposite sign carry a whole number
    between them:

    $$\begin{bmatrix} W & -W \\ -W & W \end{bmatrix} \begin{bmatrix} \mathrm{ReLU}(z) \\ \mathrm{ReLU}(-z) \end{bmatrix}
      = \begin{bmatrix} Wz \\ -Wz \end{bmatrix}$$

    At the start the network is *linear* and, with $W$ orthogonal, an exact isometry: the **mirrored** or
    *looks-linear*
    start. Training then breaks the pairs and makes it nonlinear. """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The code

    By hand: a normal matrix, made orthogonal by a QR decomposition. The signs of R's diagonal are moved into Q;
    without that step the result is orthogonal but not uniformly distributed.
    """)
    return


@app.function
def orthogonal_by_hand(n, seed):
    """A random orthogonal matrix, uniform over all of them."""
    q, r = torch.linalg.qr(lab.draw(gs.init.normal(), n, n, seed=seed))
    return q * r.diagonal().sign()


@app.function
def mirrored_by_hand(w):
    """Pairs of opposite sign from one square matrix."""
    return torch.cat([torch.cat([w, -w], 1), torch.cat([-w, w], 1)], 0)


@app.function
def worst_axis(w):
    """How far the matrix is from W'W = I, in its worst entry."""
    return float((w.T @ w - torch.eye(w.shape[1])).abs().max())


@app.cell
def _():
    lab.code(orthogonal_by_hand, mirrored_by_hand)
    return


@app.cell
def _():
    lab.prose(r"""
    The library's laws:

    ```python
    gs.init.orthogonal_(weight)    # in place, as torch.nn.init
    gs.init.orthogonal()           # the law as a value
    gs.init.mirrored()             # of a hidden layer
    ```

    A mirrored first layer is `mirrored(columns=False)`, the last one `mirrored(rows=False)`.

    Both are run at 64 units. The first two numbers are the largest entry of $W^\top W - I$: rounding and nothing else.
    The third is the largest difference between the mirrored matrix built by hand and the library's.
    """)
    return


@app.cell
def _():
    _mirrored = lab.draw(gs.init.mirrored(), 2 * UNITS, 2 * UNITS, seed=3)
    off_by_hand = worst_axis(orthogonal_by_hand(UNITS, 1))
    off_by_library = worst_axis(lab.draw(gs.init.orthogonal(), UNITS, UNITS, seed=1))
    mirrored_differ_by = float((mirrored_by_hand(_mirrored[:UNITS, :UNITS]) - _mirrored).abs().max())
    lab.readout(
        by_hand_off_by=off_by_hand, library_off_by=off_by_library, mirrored_matrices_differ_by=mirrored_differ_by
    )
    return mirrored_differ_by, off_by_hand, off_by_library


@app.cell
def _():
    lab.prose(rf"""
    ## Measure it: {STEPS:,} steps

    One state of {UNITS} numbers is multiplied by the same matrix {STEPS:,} times. The chart counts powers of ten, so
    that nothing falls out of the range of float32. Start at gain 1, then go one step to either side.
    """)
    return


@app.function
def sizes(weight, h, steps=STEPS, every=STEPS // 20):
    """log10 of the state's length after every so many steps, relative to the first."""
    size, found = 0.0, [0.0]
    h = h / h.norm()
    for step in range(1, steps + 1):
        h = weight @ h
        if step % every == 0:
            length = h.norm()  # taken out and written down, so that the numbers stay in range
            size, h = size + log10(length), h / length
            found.append(size)
    return found


@app.cell
def _():
    gain = lab.slider("gain", 0, 1, 1.0, label="Gain of the recurrent matrix", steps=[0.99, 0.999, 1.0, 1.001, 1.01])
    seed = lab.slider("seed", 0, 10, 0, label="Seed")
    lab.panel(gain, seed)
    return gain, seed


@app.cell
def _(gain, seed):
    _state = lab.draw(gs.init.normal(), UNITS, seed=9)
    _gauss = gs.init.lecun_normal().scaled(gain.value)
    recurrence = {
        "orthogonal": sizes(lab.draw(gs.init.orthogonal(gain.value), UNITS, UNITS, seed=seed.value), _state),
        "normal, n·var = gain²": sizes(lab.draw(_gauss, UNITS, UNITS, seed=seed.value), _state),
    }
    return (recurrence,)


@app.cell
def _(gain, recurrence):
    lab.readout(
        orthogonal_log10_of_the_size=recurrence["orthogonal"][-1],
        theory_steps_times_log10_gain=STEPS * log10(gain.value),
        normal_log10_of_the_size=recurrence["normal, n·var = gain²"][-1],
    )
    return


@app.cell
def _(recurrence):
    lab.lines(
        [
            {"step": i * (STEPS // 20), "log10 of the size": size, "matrix": name}
            for name, series in recurrence.items()
            for i, size in enumerate(series)
        ],
        "step",
        "log10 of the size",
        by="matrix",
        says=f"The size of a state over {STEPS:,} steps of one matrix",
    )
    return


@app.cell
def _(gain, recurrence):
    lab.prose(rf"""
    At gain {gain.value:g} the orthogonal state ends at $10^{{{recurrence["orthogonal"][-1]:.3g}}}$ of its first size.
    The
    normal matrix keeps the *average* size for one step. Over many steps of the same matrix its largest eigenvalue
    decides, which is near 1 and never exactly 1: it ends at
    $10^{{{recurrence["normal, n·var = gain²"][-1]:.3g}}}$, and another seed gives another number.
    """)
    return


@app.cell
def _():
    committed, commit = mo.state(None, allow_self_loops=True)
    return commit, committed


@app.cell
def _():
    DEPTH = 30
    OPTIONS = ["All of them: more than 60", "About half: 20 to 60", "Few: less than 20"]
    prediction = lab.Predict(
        LESSON,
        rf"""
        A {DEPTH}-layer ReLU network is started with orthogonal weights of gain $\sqrt 2$, the right gain for ReLU.
        Every
        matrix stretches all {UNITS} directions alike. How many directions of the input come through the whole network
        with at least {ALIVE:.0%} of the stretch of the largest one?
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
    left = {name: alive(directions(model)) for name, model in started(DEPTH, "relu").items()}
    truth = OPTIONS[0] if left["orthogonal"] > 60 else OPTIONS[1] if left["orthogonal"] >= 20 else OPTIONS[2]
    return left, truth


@app.cell
def _(DEPTH, committed, left, prediction, truth):
    prediction.reveal(
        committed(),
        truth,
        rf"""
        {left["orthogonal"]} of {UNITS} with orthogonal weights, {left["normal"]} with He's normal ones. The matrices
        are isometries, the ReLUs are not: each of the {DEPTH - 1} switches about half of the units off, and the next
        matrix turns other directions into the switched-off places. With the mirrored start all {left["mirrored"]}
        arrive: what one unit of a pair cuts off, the other one carries.
        """,
    )
    return


@app.cell
def _():
    lab.prose(rf"""
    ## Measure it: every direction through the depth

    Now different matrices, with an activation between them. The chart shows all {UNITS} singular values of the whole
    network's Jacobian at one input. Flat at 1 is isometry. All three starts have the scale that suits the
    activation.
    """)
    return


@app.function
def chain(depth, activation, laws, width=UNITS):
    """A plain chain from UNITS to UNITS numbers; `laws` are those of the first, the hidden and the last weight."""
    sizes = [UNITS] + [width] * (depth - 1) + [UNITS]
    layers = []
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        layer = nn.Linear(fan_in, fan_out, bias=False)
        law = laws[0] if i == 0 else laws[2] if i == depth - 1 else laws[1]
        gs.init.fill_(layer.weight, law, seed=0, name=f"{i}.weight")
        layers += [layer, ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


@app.function
def started(depth, activation):
    """The same chain from three starts; mirrored units come in pairs, so there are twice as many."""
    scale, pairs, init = KEEPS[activation], PAIRS[activation], gs.init
    mirrored = (init.mirrored(columns=False), init.mirrored(gain=pairs), init.mirrored(gain=pairs, rows=False))
    return {
        "normal": chain(depth, activation, (init.lecun_normal().scaled(scale),) * 3),
        "orthogonal": chain(depth, activation, (init.orthogonal(gain=scale),) * 3),
        "mirrored": chain(depth, activation, mirrored, width=2 * UNITS),
    }


@app.function
def directions(model):
    """Singular values of the Jacobian of the network at one random input, largest first."""
    x = lab.draw(gs.init.normal(), UNITS, seed=4).double()
    jacobian = torch.func.jacrev(model.double())(x)  # float32 would blur what is 1e7 times below the largest
    return torch.linalg.svdvals(jacobian).tolist()


@app.function
def alive(singular_values):
    """How many directions arrive with at least the share ALIVE of the largest stretch."""
    return sum(s >= ALIVE * singular_values[0] for s in singular_values)


@app.cell
def _():
    depth = lab.slider("depth", 2, 50, 20, label="Depth (layers)")
    activation = lab.dropdown("activation", list(ACTIVATIONS), "relu", label="Activation")
    lab.panel(depth, activation)
    return activation, depth


@app.cell
def _(activation, depth):
    spectra = {name: directions(model) for name, model in started(depth.value, activation.value).items()}
    return (spectra,)


@app.cell
def _(committed, prediction, spectra):
    prediction.gate(
        committed(),
        lab.table(
            [{"start": name, "largest": s[0], f"of {UNITS} directions alive": alive(s)} for name, s in spectra.items()],
            f"Singular values of the Jacobian; alive: at least {ALIVE:.0%} of the largest",
        ),
    )
    return


@app.cell
def _(activation, committed, depth, prediction, spectra):
    prediction.gate(
        committed(),
        lab.lines(
            [
                {"direction, largest first": i + 1, "singular value": value, "start": name}
                for name, values in spectra.items()
                for i, value in enumerate(values)
                if value > 1e-10 * values[0]  # below that there is rounding
            ],
            "direction, largest first",
            "singular value",
            by="start",
            says=f"Stretch of every direction by {depth.value} layers with {activation.value}",
            log_y=True,
        ),
    )
    return


@app.cell
def _(committed, prediction):
    prediction.gate(
        committed(),
        lab.prose(r"""
    Things to find: *linear*, where orthogonal is perfect at any depth and normal is not; *tanh*, where orthogonal is
    much flatter than normal; *relu*, where only the mirrored start is flat, and exactly so; *gelu*, where pairs work as
    well, because $\mathrm{GELU}(z) - \mathrm{GELU}(-z) = z$ too.
    """),
    )
    return


@app.cell
def _():
    lab.prose(r"""
    ## The edge of chaos

    One more way to lose the input, and it needs no small number anywhere: two *different* inputs may become the same.
    Let $q$ be the mean square of a signal and $c$ the correlation of two of them. In a wide network with weights of
    variance $\sigma_w^2 / n$ and biases of variance $\sigma_b^2$, the next layer has

    $$q' = \sigma_w^2\,\mathbb{E}[\phi(u)^2] + \sigma_b^2 \qquad
      c' = \frac{\sigma_w^2\,\mathbb{E}[\phi(u)\,\phi(v)] + \sigma_b^2}{q'}$$

    with $u, v$ normal, of mean square $q$ and correlation $c$. Where $q$ has settled, at $q^*$, the slope of the second
    map at $c = 1$ is

    $$\chi_1 = \sigma_w^2\,\mathbb{E}[\phi'(u)^2]$$

    which is also the factor by which the gradient's mean square grows with every layer on its way back. So one number
    rules both: $\chi_1 < 1$ is **order** (inputs become equal, gradients vanish), $\chi_1 > 1$ is **chaos** (close
    inputs part, gradients explode), and in between lies the **edge**, where both travel farthest.
    `gs.theory.MeanField` computes these integrals, `gs.theory.critical_line` finds the edge.
    """)
    return


@app.function
def random_network(depth, width, weight_std, bias_std, activation, seed=0):
    """Square layers whose weights have variance weight_std² / width and whose biases have variance bias_std²."""
    layers = []
    for _ in range(depth):
        layers += [nn.Linear(width, width), ACTIVATIONS[activation]()]
    model = nn.Sequential(*layers[:-1])
    for name, parameter in model.named_parameters():
        std = bias_std if name.endswith("bias") else weight_std / sqrt(width)
        gs.init.fill_(parameter, gs.init.normal(std=std), seed=seed, name=name)
    return model


@app.function
def measured(model, width):
    """Correlation between samples by layer, and the gradient's growth a layer over the first half of the network."""
    tape = gs.record(model, lab.draw(gs.init.normal(), SAMPLES, width, seed=7))
    sites = [site for site in tape if site.op == "linear"]
    unbiased = SAMPLES / (SAMPLES - 1)
    alike = [1 - unbiased * site.forward.variance_between / site.forward.mean_square for site in sites]
    half = len(sites) // 2
    growth = (sites[half].backward.rms / sites[-1].backward.rms) ** (2 / (len(sites) - 1 - half))
    return alike, growth


@app.function
def by_theory(field, depth):
    """Correlation by layer of two unrelated inputs of mean square 1, and the mean square that they end with."""
    q = field.weight_variance + field.bias_variance
    c, found = field.bias_variance / q, []
    for _ in range(depth):
        found.append(c)
        before = (q, c)
        q, c = field.variance(q), field.correlation(c, q)
        if abs(q - before[0]) + abs(c - before[1]) < 1e-6:  # it has settled
            break
    return found + [c] * (depth - len(found)), q


@app.cell
def _():
    weight_scale = lab.slider("sigma_w", 0.5, 3, 1.0, label="Scale of the weights σ_w", step=0.1)
    bias_scale = lab.slider("sigma_b", 0, 1, 0.2, label="Scale of the biases σ_b", step=0.1)
    layers = lab.slider("layers", 5, 40, 20, label="Layers", step=5)
    phi = lab.dropdown("phi", ["tanh", "relu"], "tanh", label="Activation of the map")
    lab.panel(weight_scale, bias_scale, layers, phi)
    return bias_scale, layers, phi, weight_scale


@app.cell
def _(bias_scale, layers, phi, weight_scale):
    _model = random_network(layers.value, 128, weight_scale.value, bias_scale.value, phi.value)
    alike, growth = measured(_model, 128)
    return alike, growth


@app.cell
def _(bias_scale, layers, phi, weight_scale):
    field = gs.theory.MeanField(ACTIVATIONS[phi.value](), weight_scale.value**2, bias_scale.value**2)
    alike_by_theory, _q = by_theory(field, layers.value)
    chi = field.slope(_q)
    return alike_by_theory, chi


@app.cell
def _(alike, alike_by_theory, chi, growth):
    lab.readout(
        χ1_by_theory=chi,
        gradient_growth_per_layer_measured=growth,
        last_correlation_measured=alike[-1],
        last_correlation_by_theory=alike_by_theory[-1],
        phase="order" if chi < 1 else "chaos" if chi > 1 else "edge",
    )
    return


@app.cell
def _(alike, alike_by_theory):
    lab.lines(
        [
            {"layer": i + 1, "correlation of two samples": c, "what": what}
            for what, series in (("measured", alike), ("theory", alike_by_theory))
            for i, c in enumerate(series)
        ],
        "layer",
        "correlation of two samples",
        by="what",
        says="How alike two unrelated inputs become",
    )
    return


@app.cell
def _():
    WEIGHTS, BIASES = (0.6, 1.0, 1.4, 1.8, 2.2, 2.6, 3.0), (0.2, 0.4, 0.6, 0.8)
    chart_of_chaos = [
        {
            "σ_w": w,
            "σ_b": b,
            "χ1": gs.theory.MeanField("tanh", w**2, b**2).slope(),
            "growth": measured(random_network(12, 128, w, b, "tanh"), 128)[1],
        }
        for b in reversed(BIASES)
        for w in WEIGHTS
    ]
    return BIASES, WEIGHTS, chart_of_chaos


@app.cell
def _(chart_of_chaos):
    lab.stack(
        lab.heat(chart_of_chaos, "σ_w", "σ_b", "χ1", says="χ₁ by theory, tanh", log=True, height=180),
        lab.heat(chart_of_chaos, "σ_w", "σ_b", "growth", says="Growth per layer, measured, tanh", log=True, height=180),
    )
    return


@app.function
def crossing(scales, factors):
    """Where a rising series passes 1, on the straight line between its neighbours."""
    for (x, y), (x2, y2) in pairwise(zip(scales, factors, strict=True)):
        if y <= 1 < y2:
            return x + (1 - y) * (x2 - x) / (y2 - y)
    return float("nan")


@app.cell
def _(BIASES, WEIGHTS, chart_of_chaos):
    edge = [
        {
            "σ_b": b,
            "edge σ_w by theory": sqrt(gs.theory.critical_line("tanh", b**2).weight_variance),
            "edge σ_w measured": crossing(WEIGHTS, [row["growth"] for row in chart_of_chaos if row["σ_b"] == b]),
        }
        for b in BIASES
    ]
    lab.table(edge, "The edge of chaos of tanh: where the gradient neither grows nor shrinks")
    return (edge,)


@app.cell
def _():
    edge_without_bias = gs.theory.critical_line("tanh", 0.0)
    lab.prose(rf"""
    The theory is for infinite width and a mean square that has settled; the measurement is one draw of a network of 128
    units, read off a coarse grid. Without biases the edge is at
    $\sigma_w = {sqrt(edge_without_bias.weight_variance):.4g}$, and the mean square then falls for so many layers
    that no shallow network shows it settled.
    """)
    return (edge_without_bias,)


@app.cell
def _():
    orthogonal_tried, tell_orthogonal = mo.state(None, allow_self_loops=True)
    return orthogonal_tried, tell_orthogonal


@app.cell
def _(tell_orthogonal):
    exercise_orthogonal = lab.exercises.widget("orthogonal", mo)
    exercise_orthogonal.ask(tell_orthogonal)
    return (exercise_orthogonal,)


@app.cell
def _(exercise_orthogonal, orthogonal_tried):
    exercise_orthogonal.result(orthogonal_tried())
    return


@app.cell
def _():
    graded, grade = mo.state(None, allow_self_loops=True)
    return grade, graded


@app.class_definition
class Ponder(nn.Module):
    """Reads an image once, thinks for some steps with one matrix, then answers."""

    def __init__(self, steps):
        super().__init__()
        self.read, self.step = nn.Linear(64, UNITS, bias=False), nn.Linear(UNITS, UNITS, bias=False)
        self.answer, self.steps = nn.Linear(UNITS, 10), steps

    def forward(self, x):
        """Scores of the ten digits."""
        h = self.read(x).relu()
        for _ in range(self.steps):
            h = self.step(h).relu()
        return self.answer(h)


@app.cell
def _():
    THINKS = 100
    RECURRENT = {
        "normal, n·var = 1": gs.init.lecun_normal(),
        "normal, n·var = 2 (He)": gs.init.he_normal(),
        "orthogonal, gain 1": gs.init.orthogonal(),
        "orthogonal, gain √2": gs.init.orthogonal(gain=sqrt(2)),
        "mirrored": gs.init.mirrored(),
    }

    def build(recurrent):
        """The network; its first matrix is mirrored too, so that pairs have something to carry."""
        digits, model = lab.digits(), Ponder(THINKS)
        gs.init.fill_(model.read.weight, gs.init.mirrored(columns=False), seed=0, name="read.weight")
        gs.init.fill_(model.step.weight, RECURRENT[recurrent], seed=0, name="step.weight")
        gs.init.fill_(model.answer.weight, gs.init.lecun_normal(0.5), seed=0, name="answer.weight")
        gs.init.zeros_(model.answer.bias)
        return gs.Subject(model, digits.x[:128], digits.y[:128], cross_entropy)

    fix = lab.Fix(
        LESSON,
        f"""
        This network reads an image once and then thinks for {THINKS} steps: $h \\leftarrow \\mathrm{{ReLU}}(W h)$, the
        same $W$ every time. The input is forgotten on the way. Choose a start of $W$ with which `gs.check` finds
        nothing above a note.
        """.strip(),
        build,
        {"recurrent": list(RECURRENT)},
        {"recurrent": "Start of the recurrent matrix"},
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
import gainstage as gs

edge = gs.theory.critical_line("tanh", bias_variance=0.05)
print(edge.weight_variance, edge.slope())   # signal and gradient travel farthest here
print(gs.init.sample(gs.init.mirrored(), (8, 8), seed=0, name="w"))   # looks-linear
""",
    )
    lab.stack(take_home)
    return (take_home,)


@app.cell
def _(edge, edge_without_bias, left):
    lab.questions(
        {
            "An orthogonal matrix keeps every length. Why is a deep tanh network with orthogonal weights not an "
            "isometry?": r"""
            Because of the slopes between the matrices: $\phi' = 1 - \tanh^2 \le 1$, and different for every unit. Small
            inputs stay where $\tanh$ is nearly straight, and there orthogonal weights of gain 1 do come close to
            isometry (Pennington et al.), while normal weights do not at any gain.""",
            "Why does orthogonality not rescue ReLU?": rf"""
            $D_l$ has ones and zeros. A product of isometries and such projections loses directions at every layer;
            {left["orthogonal"]} of {UNITS} were left above. It needs structure across units, as in the mirrored
            start.""",
            "Is a mirrored network not just a linear network?": r"""
            At the first forward pass it is, exactly. But one unit of a pair learns from the samples with $z > 0$ and
            the other from those with $z < 0$, so the first update already parts them.""",
            "Can the edge of chaos be reached with ReLU by choosing biases?": r"""
            No. For ReLU $\chi_1 = \sigma_w^2 / 2$ whatever $q$ is, so $\sigma_w^2 = 2$; there
            $q' = q + \sigma_b^2$ grows without end unless $\sigma_b = 0$. One point, not a line:
            `gs.theory.critical_line("relu", 0.05)` says so.""",
            "Does every tanh network have to start on the edge?": rf"""
            Only as near as its depth needs. At distance from the edge a signal lives for about
            $\xi = -1 / \ln \chi_1$ layers, and a network of a few times $\xi$ still trains. The table says how the edge
            moves: from $\sigma_w = {sqrt(edge_without_bias.weight_variance):.3g}$ without biases to
            {edge[-1]["edge σ_w by theory"]:.3g} at $\sigma_b = {edge[-1]["σ_b"]:g}$.""",
        }
    )
    return


@app.cell
def _():
    lab.prose(r"""
    *Sources: Saxe, McClelland & Ganguli 2014 (orthogonal); Poole et al. 2016 and Schoenholz et al. 2017 (edge of
    chaos); Pennington, Schoenholz & Ganguli 2017 (dynamical isometry); Balduzzi et al. 2017 (looks-linear); Mezzadri
    2007 (signs of the QR).*
    """)
    return


if __name__ == "__main__":
    app.run()
