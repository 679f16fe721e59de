# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Gradient flow: every layer must hear the loss, neither whispered nor shouted."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="12. Gradient flow · gainstage lab")

with app.setup:
    from itertools import pairwise
    from math import log10, sqrt

    import marimo as mo
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    import gainstage as gs
    from gainstage import lab

    LESSON = lab.lesson("l12_gradients")
    WIDTH, SAMPLES = 128, 128
    ACTIVATIONS = {"linear": nn.Identity, "relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
    LAWS = {
        "small: normal, std 0.01": gs.init.normal(std=0.01),
        "large: normal, std 1": gs.init.normal(std=1.0),
        "Xavier": gs.init.xavier_normal(),
        "He": gs.init.he_normal(),
    }


@app.cell
def _():
    lab.title(LESSON)
    return


@app.cell
def _():
    lab.prose(r"""
    Lesson 3 looked forward. Training looks back: the loss speaks, and its gradient has to travel through every layer to
    the first weight. If it shrinks on the way, the first layers do not learn (*vanishing* gradients). If it grows, one
    step throws them far away (*exploding* gradients). And there is a third case that hides from those who compare
    layers with each other. """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The derivation

    Layer $l$ computes $h_l = W_l\,\phi(h_{l-1})$. Let $g_l = \partial C / \partial h_l$ be the gradient that reaches
    it. The
    chain rule hands it on:

    $$g_{l-1} = \phi'(h_{l-1}) \odot W_l^\top g_l$$

    With $m$ outputs, independent weights of variance $\sigma_w^2$, and slopes that are independent of what comes back,
    the mean square is multiplied by one factor a layer:

    $$\mathbb{E}[g_{l-1}^2] = \chi\;\mathbb{E}[g_l^2], \qquad \chi = m\,\sigma_w^2\;\mathbb{E}[\phi'(h_{l-1})^2]$$

    - **linear**: $\phi' = 1$. **ReLU**: the slope is 1 for half of the units, so $\mathbb{E}[\phi'^2] = 1/2$.
    - **tanh**: 1 in the middle, near 0 where a unit is *saturated*, $|h|$ large.
    - **sigmoid**: the slope is at most $1/4$, everywhere. Each layer costs at least a factor of 4 in the level, unless
      the weights are 4 times as large, and then the units saturate.

    After $L$ layers the level has the factor $\chi^{L/2}$. What a *weight* gets is a product of both directions:

    $$\frac{\partial C}{\partial W_l} = g_l\;\phi(h_{l-1})^\top$$

    so that a healthy gradient on its way back is worth nothing where the signal on its way forward has died. """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The code

    By hand: forward, keeping what the way back needs; then the two formulas above, from the last layer to the first.
    """)
    return


@app.function
def gradients_by_hand(weights, x, phi, slope, gradient_of_cost):
    """Gradient of every weight, and the level of the gradient behind every weight."""
    inputs, sums = [x], []
    for w in weights:
        sums.append(inputs[-1] @ w.T)
        inputs.append(phi(sums[-1]))
    g, of_weights, levels = gradient_of_cost(sums[-1]), [], []
    for i in reversed(range(len(weights))):
        of_weights.insert(0, g.T @ inputs[i])
        levels.insert(0, g.square().mean().sqrt().item())
        if i:
            g = slope(sums[i - 1]) * (g @ weights[i])
    return of_weights, levels


@app.function
def chain(depth, activation, law, width=WIDTH):
    """From the 64 pixels of a digit to its ten scores, without biases."""
    sizes, layers = [64] + [width] * (depth - 1) + [10], []
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        layer = nn.Linear(fan_in, fan_out, bias=False)
        gs.init.fill_(layer.weight, law, seed=0, name=f"{i}.weight")
        layers += [layer, ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


@app.function
def recorded(model):
    """The tape of one pass over some digits, and its weight layers."""
    digits = lab.digits()
    tape = gs.record(model, digits.x[:SAMPLES], target=digits.y[:SAMPLES], loss=cross_entropy)
    return tape, [site for site in tape if site.op == "linear"]


@app.cell
def _():
    lab.code(gradients_by_hand)
    return


@app.cell
def _():
    lab.prose(r"""
    The library watches PyTorch's own backward pass, for any model:

    ```python
    tape = gs.record(model, x, target=y, loss=cross_entropy)
    behind = [site.backward.rms for site in tape if site.op == "linear"]
    of_a_weight = tape.parameter("0.weight").backward.rms
    ```

    Both are run on a tanh network of 10 layers:
    """)
    return


@app.cell
def _():
    _digits, _model = lab.digits(), chain(10, "tanh", gs.init.xavier_normal())
    _x, _y = _digits.x[:SAMPLES], _digits.y[:SAMPLES]

    def _of_cost(scores):
        return (scores.softmax(1) - torch.nn.functional.one_hot(_y, 10)) / len(_y)  # of the mean cross-entropy

    with torch.no_grad():
        _of_weights, _levels = gradients_by_hand(
            list(_model.parameters()), _x, torch.tanh, lambda h: 1 - h.tanh().square(), _of_cost
        )
    _tape, _sites = recorded(_model)
    _first = _tape.parameter("0.weight").backward.rms
    gradients_differ_by = max(abs(a / s.backward.rms - 1) for a, s in zip(_levels, _sites, strict=True))
    weights_differ_by = abs(float(_of_weights[0].square().mean().sqrt()) / _first - 1)
    lab.readout(
        first_weight_by_library=_first,
        largest_relative_difference_behind_the_layers=gradients_differ_by,
        relative_difference_of_the_first_weight=weights_differ_by,
    )
    return gradients_differ_by, weights_differ_by


@app.cell
def _():
    committed, commit = mo.state(None, allow_self_loops=True)
    return commit, committed


@app.cell
def _():
    DEPTH, LIMIT = 12, 1e-3
    OPTIONS = [
        f"Far less than {LIMIT:g}: it raises the alarm",
        f"Between {LIMIT:g} and {1 / LIMIT:g}: it stays silent",
        f"More than {1 / LIMIT:g}: it raises the other alarm",
    ]
    prediction = lab.Predict(
        LESSON,
        f"""
        A {DEPTH}-layer ReLU network is started with weights of standard deviation 0.01, far too small. A monitor
        compares
        the gradient of the first *weight* with that of the last one (root mean square) and calls "vanishing" below
        {LIMIT:g}, "exploding" above {1 / LIMIT:g}. What ratio does it see?
        """.strip(),
        OPTIONS,
    )
    return DEPTH, LIMIT, OPTIONS, prediction


@app.cell
def _(commit, committed, prediction):
    prediction.ask(committed, commit)
    return


@app.cell
def _(DEPTH, LIMIT, OPTIONS):
    _tape, _sites = recorded(chain(DEPTH, "relu", LAWS["small: normal, std 0.01"], width=64))
    of_weights = [_tape.parameter(f"{2 * i}.weight").backward.rms for i in range(DEPTH)]
    ratio = of_weights[0] / of_weights[-1]
    died = (_sites[-1].forward.variance_between / _sites[0].forward.variance_between) ** 0.5
    truth = OPTIONS[0] if ratio < LIMIT else OPTIONS[1] if ratio <= 1 / LIMIT else OPTIONS[2]
    return died, of_weights, ratio, truth


@app.cell
def _(committed, died, of_weights, prediction, ratio, truth):
    prediction.reveal(
        committed(),
        truth,
        rf"""
        The ratio is {ratio:.3g}, while the gradients themselves are {of_weights[0]:.1e} and {of_weights[-1]:.1e}, and
        only {died:.0e} of what distinguishes two digits reaches the output. The gradient of weight $l$ is made of
        *all the other* factors: forward up to $l$, backward down to $l$. If all layers are equally small, all products
        are equally small. Ratios between layers miss a collapse that is the same everywhere. This is why `gs.check`
        also measures, on the way forward, what differs **between samples**.
        """,
    )
    return


@app.cell
def _():
    lab.prose(rf"""
    ## Measure it: depth and scale

    Handwritten digits, {WIDTH} units a layer. The weight scale is $\sigma_w \sqrt n$. The theory starts from the
    measured
    gradient at the output and goes back with the formula above (`gs.theory.predict`).
    """)
    return


@app.cell
def _():
    depth = lab.slider("depth", 3, 40, 20, label="Depth (layers)")
    scale = lab.slider("scale", 0.2, 5, 1, label="Weight scale (std × √width)", step=0.1)
    activation = lab.dropdown("activation", list(ACTIVATIONS), "tanh", label="Activation")
    lab.panel(depth, scale, activation)
    return activation, depth, scale


@app.cell
def _(activation, depth, scale):
    _model = chain(depth.value, activation.value, gs.init.lecun_normal().scaled(scale.value))
    _tape, _sites = recorded(_model)
    _theory = gs.theory.predict(_tape, _model)
    backward = [site.backward.rms for site in _sites]
    backward_by_theory = [_theory[site.index][1] for site in _sites]
    _weights = [_tape.parameter(f"{2 * i}.weight").backward.rms for i in range(depth.value)]
    flow = {"gradient behind the layer": backward, "the same by theory": backward_by_theory}
    flow |= {"signal behind the layer": [site.forward.rms for site in _sites], "gradient of the weight": _weights}
    return backward, backward_by_theory, flow


@app.cell
def _(backward, backward_by_theory, committed, flow, prediction):
    _signal, _weights = flow["signal behind the layer"], flow["gradient of the weight"]
    prediction.gate(
        committed(),
        lab.readout(
            gradient_first_over_last=backward[0] / backward[-1] if backward[-1] else float("nan"),
            the_same_by_theory=(backward_by_theory[0] or 0.0) / backward[-1] if backward[-1] else float("nan"),
            signal_last_over_first=_signal[-1] / _signal[0],
            weight_gradient_first_over_last=_weights[0] / _weights[-1] if _weights[-1] else float("nan"),
        ),
    )
    return


@app.cell
def _(committed, flow, prediction):
    prediction.gate(
        committed(),
        lab.lines(
            [
                {"layer": i + 1, "root mean square": v or 0.0, "what": what}
                for what, series in flow.items()
                for i, v in enumerate(series)
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
def _():
    BACK, SCALES = (1, 5, 10, 20, 30, 39), (0.5, 0.8, 1.0, 1.2, sqrt(2), 1.6, 2.0, 3.0)
    by_scale = []
    for _activation in ("relu", "tanh"):
        for _scale in SCALES:
            _, _sites = recorded(chain(41, _activation, gs.init.lecun_normal().scaled(_scale), width=64))
            _end = _sites[-2].backward.mean_square
            for _back in BACK:
                by_scale.append(
                    {
                        "activation": _activation,
                        "weight scale": f"{_scale:.3g}",
                        "layers back": _back,
                        "powers of ten": log10(_sites[-2 - _back].backward.mean_square / _end) / 2,
                        "theory, ReLU": _back * log10(_scale**2 / 2) / 2,
                    }
                )
    return (by_scale,)


@app.cell
def _(by_scale, committed, prediction):
    prediction.gate(
        committed(),
        lab.stack(
            lab.prose("""
        The same for many scales at once: how many powers of ten the gradient gains (+) or loses (−) on its way back
        from the last hidden layer. In each chart there is a row
        that stays near 0 at every depth.
        """),
            *(
                lab.heat(
                    [row for row in by_scale if row["activation"] == name],
                    "layers back",
                    "weight scale",
                    "powers of ten",
                    says=f"Gradient on its way back, powers of ten: {name}",
                    height=200,
                )
                for name in ("relu", "tanh")
            ),
        ),
    )
    return


@app.cell
def _():
    lab.prose(r"""
    ## Measure it: the distribution of activations

    A level is one number. Below is what the units of a layer really do, for four starts: the share of all values
    (units × digits) that fall into each of 20 bins. tanh lives between −1 and 1. For ReLU the first bin holds the
    zeros, and the last one everything above 4.
    """)
    return


@app.cell
def _():
    kind = lab.dropdown("kind", ["tanh", "relu", "sigmoid"], "tanh", label="Activation of the histograms")
    layers = lab.slider("layers", 4, 20, 10, label="Depth of the histograms (layers)", step=2)
    lab.panel(kind, layers)
    return kind, layers


@app.function
@torch.no_grad()
def histograms(model, low, high, bins=20):
    """Share of the values in each bin behind the first, the middle and the last hidden activation."""
    h, found = lab.digits().x[:SAMPLES], {}
    hidden = len(model) // 2
    for i, layer in enumerate(model):
        h, number = layer(h), (i + 1) // 2
        if i % 2 and number in (1, (hidden + 1) // 2, hidden):
            counts = torch.histc(h.clamp(low, high), bins, low, high)
            found[f"layer {number}"] = (counts / h.numel()).tolist()
    return found


@app.cell
def _(kind, layers):
    _low, _high = {"tanh": (-1.0, 1.0), "relu": (0.0, 4.0), "sigmoid": (0.0, 1.0)}[kind.value]
    distributions, spreads = {}, []
    for _name, _law in LAWS.items():
        _model = chain(layers.value, kind.value, _law)
        distributions[_name] = [
            {"value": _low + (i + 0.5) * (_high - _low) / 20, "share of the values": share, "behind": where}
            for where, shares in histograms(_model, _low, _high).items()
            for i, share in enumerate(shares)
        ]
        _tape, _sites = recorded(_model)
        _acts = [site for site in _tape if site.op == kind.value]
        spreads.append(
            {
                "start": _name,
                "level, layer 1": _acts[0].forward.rms,
                "level, last": _acts[-1].forward.rms,
                "zeros, last": _acts[-1].forward.zeros,
                "saturated, last": "-" if kind.value == "relu" else _acts[-1].forward.saturated,
                "gradient first / last": _sites[0].backward.rms / _sites[-1].backward.rms,
            }
        )
    return distributions, spreads


@app.cell
def _(distributions, kind):
    lab.stack(
        *(
            lab.lines(rows, "value", "share of the values", by="behind", says=f"{name} ({kind.value})", height=150)
            for name, rows in distributions.items()
        ),
        side_by_side=True,
    )
    return


@app.cell
def _(spreads):
    lab.table(spreads, "The same in numbers (gs.record): shares of the values behind the last hidden activation")
    return


@app.cell
def _():
    lab.prose(r"""
    Read them together. **Small**: everything collapses onto one value within a few layers, 0 for tanh. **Large**:
    tanh piles up at ±1, where its slope is 0. **Xavier** with tanh: a hill in the middle that narrows slowly;
    **He** with tanh stays broad. **He** with ReLU: half zeros, and the other half keeps its shape; **Xavier** with
    ReLU moves into the first bins, layer by layer.
    """)
    return


@app.cell
def _():
    gradient_flow_tried, tell_gradient_flow = mo.state(None, allow_self_loops=True)
    return gradient_flow_tried, tell_gradient_flow


@app.cell
def _(tell_gradient_flow):
    exercise_gradient_flow = lab.exercises.widget("gradient_flow", mo)
    exercise_gradient_flow.ask(tell_gradient_flow)
    return (exercise_gradient_flow,)


@app.cell
def _(exercise_gradient_flow, gradient_flow_tried):
    exercise_gradient_flow.result(gradient_flow_tried())
    return


@app.cell
def _():
    graded, grade = mo.state(None, allow_self_loops=True)
    return grade, graded


@app.cell
def _():
    STARTS = {
        "normal, std 2.5/√n": gs.init.lecun_normal().scaled(2.5),
        "normal, std 0.3/√n": gs.init.lecun_normal().scaled(0.3),
        "Xavier": gs.init.xavier_normal(),
    }

    def build(law, activation, rate):
        """A deep plain network for the digits with its loss and plain gradient descent."""
        digits, model = lab.digits(), chain(30, activation, STARTS[law], width=64)
        sgd = torch.optim.SGD(model.parameters(), lr=float(rate))
        return gs.Subject(model, digits.x[:256], digits.y[:256], cross_entropy, sgd)

    fix = lab.Fix(
        LESSON,
        """
        Thirty layers of tanh, started "a little larger, so that nothing vanishes". No signal is lost and no number
        overflows, but the gradient that the first layers get is far larger than that of the last. Somebody suggests
        a smaller learning rate, somebody else another activation. Find what makes `gs.check` find nothing above a
        note.
        """.strip(),
        build,
        {"law": list(STARTS), "activation": ["tanh", "sigmoid", "relu"], "rate": ["0.05", "0.0005"]},
        {"activation": "Activation", "law": "Start", "rate": "Learning rate"},
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

model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Tanh(), torch.nn.Linear(64, 10))
print(gs.record(model, torch.randn(128, 64)).table())   # last column: gradient
""",
    )
    lab.stack(take_home)
    return (take_home,)


@app.cell
def _(ratio):
    lab.questions(
        {
            "Why can a sigmoid network not be repaired by larger weights alone?": r"""
            Its slope is $s(1 - s) \le 1/4$. To make up for it a weight has to be 4 times as large, but then the sums
            are larger, the units sit at 0 or 1, and there the slope is far below $1/4$. It also has a mean of
            $1/2$: what all samples share grows with every layer.""",
            "Does gradient clipping help?": r"""
            Against exploding gradients: it limits the step of all layers together. It makes no small gradient larger,
            and it does not change the ratio between layers.""",
            "Does Adam help?": r"""
            It divides each gradient by its own size, so a uniformly small gradient is no problem for it. It cannot
            restore what the gradient no longer knows: if all samples look alike behind the dead layers, the direction
            of the step says nothing about the digits.""",
            "The first and the last weight have equally large gradients. Is all well?": rf"""
            No. In the prediction the ratio was {ratio:.3g}, in a network that had lost its input. Look at absolute
            sizes, at the signal between samples, and at the size of an update relative to the weight.""",
            "At which scale is a deep tanh network quiet in both directions?": r"""
            Near weight scale 1: see the row of the heat map that stays near 0. Slightly above, the signal does not die,
            and the gradient grows a little; that is the edge of chaos of lesson 7.""",
        }
    )
    return


@app.cell
def _():
    lab.prose(r"""
    *Sources: Hochreiter 1991; Bengio, Simard & Frasconi 1994; Glorot & Bengio 2010 (distributions of activations by
    layer); Pascanu, Mikolov & Bengio 2013 (clipping); He et al. 2015.*
    """)
    return


if __name__ == "__main__":
    app.run()
