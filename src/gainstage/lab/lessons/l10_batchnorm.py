# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Batch normalization: what is normalized must mean the same in training and in use."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="10. Batch normalization · gainstage lab")

with app.setup:
    from itertools import pairwise
    from math import exp, lgamma, sqrt

    import marimo as mo
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    import gainstage as gs
    from gainstage import lab

    LESSON = lab.lesson("l10_batchnorm")
    FEATURES, WIDTH, DEPTH = 512, 64, 8
    BATCHES = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32]
    NOISE = 0.5  # of the experiment with noise: shift within ± NOISE, factor within 1 ± NOISE


@app.cell
def _():
    lab.title(LESSON)
    return


@app.cell
def _():
    lab.prose(r"""
    The lessons so far chose weights so that the signal keeps its level *at the start*. Batch normalization does not
    choose: it measures the level in every step and divides by it. It is in most networks for images, it allows larger
    learning rates, and it has one weakness that costs people weeks: **what it does to a sample depends on which other
    samples are in the batch**, and in use it does something else than in training.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The derivation

    Take one feature (one unit of a layer) and its values $x_1, \dots, x_n$ in a batch. In training,

    $$\mu = \frac{1}{n}\sum_i x_i \qquad \sigma^2 = \frac{1}{n}\sum_i (x_i - \mu)^2 \qquad
      y_i = \gamma\,\frac{x_i - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta$$

    and $\epsilon$ is a tiny number against division by 0. In use there may be no batch: a single sample has to get an
    answer. So the layer remembers. After every training batch it moves two stored numbers a step of size $m$ (the
    *momentum*, 0.1 if you do not say) towards those of the batch:

    $$\mu_{\text{run}} \leftarrow (1 - m)\,\mu_{\text{run}} + m\,\mu \qquad
      \sigma^2_{\text{run}} \leftarrow (1 - m)\,\sigma^2_{\text{run}} + m\,\tfrac{n}{n-1}\,\sigma^2$$

    In use (`model.eval()`) these take the place of $\mu$ and $\sigma^2$. The factor $n/(n-1)$ makes the stored variance
    an unbiased estimate; the batch itself is divided by the biased one.

    So there are **four numbers a feature**: the scale $\gamma$ and the shift $\beta$ are learned, the running mean and
    the running variance are stored and take no gradient.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The code

    By hand, with the four numbers in a dictionary:
    """)
    return


@app.function
def batch_norm_by_hand(x, state, training, momentum=0.1, eps=1e-5):
    """Batch normalization of [samples, features]; while training it also moves the running statistics."""
    if training:
        n, mean, var = len(x), x.mean(0), x.var(0, correction=0)
        state["running_mean"] += momentum * (mean - state["running_mean"])
        state["running_var"] += momentum * (n / (n - 1) * var - state["running_var"])
    else:
        mean, var = state["running_mean"], state["running_var"]
    return state["weight"] * (x - mean) / (var + eps).sqrt() + state["bias"]


@app.cell
def _():
    lab.code(batch_norm_by_hand)
    return


@app.cell
def _():
    lab.prose(r"""
    The library's layer runs torch's kernel, and says what it holds:

    ```python
    layer = gs.nn.BatchNorm1d(64)
    print(gs.nn.parameter_count(layer))
    ```

    Both see the same ten batches of digits in training, then the test images in use:
    """)
    return


@app.cell
def _():
    _digits, _layer = lab.digits(), gs.nn.BatchNorm1d(64)
    _state = {name: value.detach().clone() for name, value in _layer.state_dict().items()}
    _apart = []
    for _x, _ in gs.train.minibatches(_digits.x, _digits.y, batch_size=32, steps=10):
        _apart.append((batch_norm_by_hand(_x, _state, True) - _layer(_x)).abs().max().item())
    _layer.eval()
    _apart.append((batch_norm_by_hand(_digits.test_x, _state, False) - _layer(_digits.test_x)).abs().max().item())
    for _name in ("running_mean", "running_var"):
        _apart.append((_state[_name] - getattr(_layer, _name)).abs().max().item())
    by_hand_apart, count = max(_apart), gs.nn.parameter_count(_layer)
    lab.stack(
        lab.readout(
            numbers_a_feature=count.per_feature,
            learned=count.learnable_per_feature,
            stored=count.buffers_per_feature,
            by_hand_against_library=by_hand_apart,
        ),
        lab.prose(f"`parameter_count`: {count}"),
    )
    return by_hand_apart, count


@app.cell
def _():
    lab.prose(r"""
    ## Measure it: train against eval, batch size from 32 to 1

    The input here is normal with mean 0 and variance 1, so the right answer is known: the layer should hand on $x$
    itself, and in use, with the true statistics, it does. In training it uses the mean and the deviation $s$ of $n$
    values. As $\sum_i y_i^2 = n$ and $\frac{1}{n}\sum_i x_i y_i = s$, the mean squared difference of the two modes is
    exactly

    $$\mathbb{E}[(y_{\text{train}} - y_{\text{eval}})^2] = 2\,(1 - \mathbb{E}[s]), \qquad
      \mathbb{E}[s] = \sqrt{\frac{2}{n}}\;\frac{\Gamma(n/2)}{\Gamma((n-1)/2)}$$

    for independent values, the last step for normal ones; $\Gamma$ is the factorial function for fractions. For large
    $n$ it is about $1.5/n$. In an image every position counts as a value: $n$ is samples times positions (as far as
    neighbouring positions differ).
    """)
    return


@app.cell
def _():
    batch = lab.slider("batch", 1, 32, 8, label="Batch size (samples)", steps=BATCHES)
    positions = lab.slider("positions", 1, 16, 1, label="Positions a sample", steps=[1, 2, 4, 16])
    seed = lab.slider("seed", 0, 20, 0, label="Seed")
    lab.panel(batch, positions, seed)
    return batch, positions, seed


@app.function
def gap_in_theory(n):
    """Root mean square of train minus eval, for n independent normal values; exact."""
    return sqrt(2 - 2 * sqrt(2 / n) * exp(lgamma(n / 2) - lgamma((n - 1) / 2)))


@app.function
def modes_apart(batch, positions=1, seed=0):
    """Root mean square of the difference between training and evaluation, the largest output, and what was refused."""
    layer, x = gs.nn.BatchNorm(FEATURES), lab.draw(gs.init.normal(), batch, FEATURES, positions, seed=seed)
    in_use = layer.eval()(x)  # a new layer stores mean 0 and variance 1: those of this input
    try:
        in_training = layer.train()(x)
    except gs.GainstageError as error:
        return float("nan"), float("nan"), str(error)
    return (in_training - in_use).square().mean().sqrt().item(), in_training.abs().max().item(), ""


@app.cell
def _(batch, positions, seed):
    _n = batch.value * positions.value
    gap, largest, refused = modes_apart(batch.value, positions.value, seed.value)
    _shown = lab.readout(
        values_a_feature=_n,
        train_minus_eval_rms=gap,
        theory=gap_in_theory(_n) if _n > 1 else float("nan"),
        largest_output=largest,
        bound=sqrt(_n - 1),
    )
    lab.stack(_shown, lab.note("info", lab.prose(f"The layer refuses: *{refused}*"))) if refused else _shown
    return gap, largest, refused


@app.cell
def _(positions):
    gaps = [(b * positions.value, modes_apart(b, positions.value)[0]) for b in BATCHES if b * positions.value > 1]
    _rows = [{"values a feature": n, "train minus eval (RMS)": g, "what": "measured"} for n, g in gaps]
    _rows += [
        {"values a feature": n, "train minus eval (RMS)": gap_in_theory(n), "what": "theory, normal values"}
        for n, _ in gaps
    ]
    lab.lines(
        _rows,
        "values a feature",
        "train minus eval (RMS)",
        by="what",
        says="What a sample's neighbours do to it (the signal itself has size 1)",
        log_x=True,
    )
    return (gaps,)


@app.cell
def _():
    lab.prose(rf"""
    With two values nothing is left of them but which is larger: the outputs are $-1$ and $1$. In general no output can
    exceed $\sqrt{{n-1}}$. With 32 values the neighbours still add noise of size {gap_in_theory(32):.2f} to a signal of
    size 1. That is often welcome, as a regularizer; at 4 it is {gap_in_theory(4):.2f}. One value has no variance,
    and the layer refuses.

    What does it do to a network? With your batch size, a network of two hidden layers is trained on the digits for
    100 steps: once with batch normalization, once with layer normalization (lesson 11), which looks at one sample
    only.
    """)
    return


@app.function
def small(norm, seed=0, after=False):
    """Two hidden layers for the digits, each with a normalization before or after its ReLU; He's start."""
    layers = []
    for i, (fan_in, fan_out) in enumerate(pairwise([64, WIDTH, WIDTH, 10])):
        weight = nn.Linear(fan_in, fan_out)
        gs.init.fill_(weight.weight, gs.init.he_normal(), seed=seed, name=f"{i}.weight")
        nn.init.zeros_(weight.bias)
        layers += [weight, nn.ReLU(), norm(fan_out)] if after else [weight, norm(fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-2])


@app.function
def accuracies(norm, batch, seed=0, after=False):
    """Test accuracy after 100 steps: in evaluation mode, and in training mode on batches of the same size."""
    digits, model = lab.digits(), small(norm, seed, after)
    sgd = torch.optim.SGD(model.parameters(), lr=0.05)
    batches = gs.train.minibatches(digits.x, digits.y, batch_size=batch, steps=100, seed=seed)
    gs.train.fit(model, batches, loss=cross_entropy, optimizer=sgd)
    in_use = gs.train.accuracy(model, digits.test_x, digits.test_y)
    with torch.no_grad():
        whole = len(digits.test_x) // batch * batch  # the last batch may be too small for a variance
        scores = torch.cat([model.train()(x) for x in digits.test_x[:whole].split(batch)])
    return in_use, (scores.argmax(1) == digits.test_y[:whole]).float().mean().item()


@app.cell
def _(batch, seed):
    layer_norm = accuracies(gs.nn.LayerNorm, batch.value, seed.value)[0]
    batch_norm = accuracies(gs.nn.BatchNorm1d, batch.value, seed.value) if batch.value > 1 else (None, None)
    lab.readout(
        batch_norm_in_eval_mode="refused" if batch_norm[0] is None else f"{batch_norm[0]:.1%}",
        batch_norm_in_train_mode="refused" if batch_norm[1] is None else f"{batch_norm[1]:.1%}",
        layer_norm_in_either_mode=f"{layer_norm:.1%}",
    )
    return batch_norm, layer_norm


@app.cell
def _():
    lab.prose(r"""
    ## Before or after the activation?

    The inventors put it *before*: the activation then sees mean 0 and variance 1, and the next weight reads what is
    behind it. *After*, the next weight itself reads mean 0 and variance 1. What it reads is computed for a normal
    pre-activation beside it:
    """)
    return


@app.cell
def _():
    _digits = lab.digits()
    _relu, _relu2 = (gs.init.gaussian_mean(f) for f in (lambda z: z.relu(), lambda z: z.relu().square()))
    placements = []
    for _name, _after, _mean, _square in (("before", False, _relu, _relu2), ("after", True, 0.0, 1.0)):
        with torch.no_grad():
            _read = small(gs.nn.BatchNorm1d, after=_after)[:3](_digits.x[:256])
        _reached = [accuracies(gs.nn.BatchNorm1d, 32, s, _after)[0] for s in range(4)]
        placements.append(
            {
                "normalized": f"{_name} the ReLU",
                "mean that the next weight reads": _read.mean().item(),
                "normal theory": _mean,
                "its mean square": _read.square().mean().item(),
                "theory for that": _square,
                "test accuracy, lowest of 4 seeds": min(_reached),
                "highest": max(_reached),
            }
        )
    lab.table(placements, "The same network with the normalization on either side of its ReLU")
    return (placements,)


@app.cell
def _():
    lab.prose(r"""
    Which is better depends on the network, and the ranges of the seeds overlap more often than opinions do: ask
    `gainstage compare` for your own. What always holds: *before*, a bias in the weight in front is useless, as $\mu$
    takes it away again; *before*, no unit of a ReLU is dead at the start: its input
    has mean 0 over the batch, so some samples are above 0; and the start must
    know the place, as the next weight reads mean square 1/2 or 1.
    """)
    return


@app.cell
def _(rates_tried):
    lab.prose(rf"""
    ## Covariate shift or a smoother landscape?

    Batch normalization was introduced to reduce *internal covariate shift*: every update of the layers below changes
    the distribution that a layer reads, which then has to follow. Is that why it helps? Santurkar and others (2018)
    put the claim to a test: they **spoiled** the distributions on purpose. Behind every normalization, in every step,
    each unit is multiplied by a new random factor within {1 - NOISE:g} to {1 + NOISE:g} and shifted by up to
    {NOISE:g}. (Theirs also
    drew noise for each sample.) Now every layer reads another distribution in every step.

    We repeat it with {DEPTH}-layer networks on the digits, for the learning rates
    {", ".join(f"{_rate:g}" for _rate in rates_tried)}, all from He's start with the same weights and batches.
    """)
    return


@app.class_definition
class Jitter(nn.Module):
    """A factor and a shift for every unit, drawn anew in every training step: covariate shift on purpose."""

    def forward(self, x):
        """As it is in evaluation mode."""
        if not self.training:
            return x
        factor, shift = (NOISE * (2 * torch.rand(x.shape[1]) - 1) for _ in range(2))
        return x * (1 + factor) + shift


@app.function
def deep(kind):
    """The plain network, or with batch normalization, or with that and noise behind it."""
    layers = []
    for i, (fan_in, fan_out) in enumerate(pairwise([64] + [WIDTH] * (DEPTH - 1) + [10])):
        weight = nn.Linear(fan_in, fan_out)
        gs.init.fill_(weight.weight, gs.init.he_normal(), seed=0, name=f"{i}.weight")
        nn.init.zeros_(weight.bias)
        norm = [] if kind == "plain" else [gs.nn.BatchNorm1d(fan_out)]
        layers += [weight, *norm, *([Jitter()] if kind == "normalized, noise" else []), nn.ReLU()]
    last = max(i for i, layer in enumerate(layers) if isinstance(layer, nn.Linear))
    return nn.Sequential(*layers[: last + 1])


@app.function
def last_cost(kind, rate):
    """Mean cost over the last 10 of 60 steps; infinite where it was no finite number any more."""
    digits, model = lab.digits(), deep(kind)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # of the noise
        run = gs.train.fit(
            model,
            gs.train.minibatches(digits.x, digits.y, batch_size=64, steps=60),
            loss=cross_entropy,
            optimizer=torch.optim.SGD(model.parameters(), lr=rate),
        )
    return float("inf") if run.diverged else sum(run.losses[-10:]) / 10


@app.cell
def _():
    committed, commit = mo.state(None, allow_self_loops=True)
    return commit, committed


@app.cell
def _():
    OPTIONS = [
        "Like the plain network or worse: the shift is back",
        "Far better than the plain network, in spite of the shift",
    ]
    RATE = 1.0
    prediction = lab.Predict(
        LESSON,
        f"""
        At learning rate {RATE:g} the plain network fails and the normalized one learns. What becomes of the normalized
        network with noise, whose distributions jump in every step?
        """.strip(),
        OPTIONS,
    )
    return OPTIONS, RATE, prediction


@app.cell
def _(commit, committed, prediction):
    prediction.ask(committed, commit)
    return


@app.cell
def _():
    KINDS = ["plain", "normalized", "normalized, noise"]
    rates_tried, costs = [0.05, 0.3, 1.0], {}
    for _kind in KINDS:
        for _rate in rates_tried:
            costs[_kind, _rate] = last_cost(_kind, _rate)
    return KINDS, costs, rates_tried


@app.cell
def _(OPTIONS, RATE, costs):
    truth = OPTIONS[costs["normalized, noise", RATE] < costs["plain", RATE] / 2]
    return (truth,)


@app.cell
def _(RATE, committed, costs, prediction, truth):
    prediction.reveal(
        committed(),
        truth,
        rf"""
        Mean cost over the last 10 of 60 steps at learning rate {RATE:g}: plain {costs["plain", RATE]:.3g} (inf: it was
        no finite number any more), normalized {costs["normalized", RATE]:.3g}, normalized with noise
        {costs["normalized, noise", RATE]:.3g}. A shift of distributions that is *larger* than that of the plain network
        leaves most of the gain, so the lack of shift cannot be the whole reason. Below both are measured: the shift,
        and what the normalization changes besides.
        """,
    )
    return


@app.function
def along_the_gradient(model, x, y, rate, factors):
    """Cost at several distances down one gradient, and how much the gradient turns within one step."""
    weights, noise = list(model.parameters()), torch.get_rng_state()
    start = [w.detach().clone() for w in weights]

    def at(factor, gradient):
        with torch.no_grad():
            for w, origin, g in zip(weights, start, gradient, strict=True):
                w.copy_(origin - factor * rate * g)
        torch.set_rng_state(noise)  # the same noise at every distance
        cost = cross_entropy(model(x), y)
        return cost.item(), torch.autograd.grad(cost, weights)

    here, gradient = at(0.0, [torch.zeros_like(w) for w in weights])
    line, after = [at(factor, gradient)[0] for factor in factors], at(1.0, gradient)[1]
    at(0.0, gradient)
    size = sum(g.square().sum() for g in gradient)
    turned = sum((a - g).square().sum() for a, g in zip(after, gradient, strict=True)) / size
    return here, line, turned.sqrt().item()


@app.cell
def _(KINDS):
    LOOKED_AT, FACTORS, PROBED = (5, 15, 25, 35), (0.25, 0.5, 1.0, 2.0, 4.0), 0.1
    landscape, shifts, _digits = [], {}, lab.digits()
    _x, _y = _digits.x[:256], _digits.y[:256]
    for _kind in KINDS:
        _model, _seen, _before, _jumps = deep(_kind), [], [], []
        _relu = [layer for layer in _model if isinstance(layer, nn.ReLU)][DEPTH // 2 - 1]
        _hook = _relu.register_forward_pre_hook(lambda _, read, seen=_seen: seen.append(read[0].detach()))

        def _look(step, model=_model, seen=_seen, before=_before, jumps=_jumps, kind=_kind):
            model(_x)
            before.append((seen[-1].mean(0), seen[-1].std(0)))
            if len(before) > 1:
                (old, spread), (new, _) = before[-2:]
                alive = spread > 1e-6
                jumps.append(((new - old)[alive] / spread[alive]).square().mean().sqrt().item())
            if step.number in LOOKED_AT:
                here, line, turned = along_the_gradient(model, _x, _y, PROBED, FACTORS)
                for factor, cost in zip((0.0, *FACTORS), (here, *line), strict=True):
                    landscape.append(
                        {"after step": step.number, "kind": kind, "factor": factor, "cost": cost, "turned": turned}
                    )

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            gs.train.fit(
                _model,
                gs.train.minibatches(_digits.x, _digits.y, batch_size=64, steps=40),
                loss=cross_entropy,
                optimizer=torch.optim.SGD(_model.parameters(), lr=PROBED),
                on_step=[_look],
            )
        _hook.remove()
        shifts[_kind] = sum(_jumps) / len(_jumps)
    return LOOKED_AT, PROBED, landscape, shifts


@app.cell
def _(KINDS, PROBED, committed, costs, landscape, prediction, rates_tried, shifts):
    both_measured = [
        {
            "network": kind,
            "shift a step (standard deviations)": shifts[kind],
            "gradient turned by one step": sum(turns := [r["turned"] for r in landscape if r["kind"] == kind])
            / len(turns),
            **{f"cost at rate {rate:g}": costs[kind, rate] for rate in rates_tried},
        }
        for kind in KINDS
    ]
    prediction.gate(
        committed(),
        lab.stack(
            lab.prose("## Both, measured"),
            lab.table(both_measured, f"Shift and smoothness at rate {PROBED:g}; cost after 60 steps by learning rate"),
        ),
    )
    return (both_measured,)


@app.cell
def _(PROBED, committed, prediction):
    prediction.gate(
        committed(),
        lab.prose(rf"""
    - **Shift**: how far the mean of a unit, in front of the fourth ReLU, jumps from one step to the next, in units of
      its standard deviation; the same 256 images always.
    - **Turned**: $\lVert \nabla L(\theta - \eta g) - g \rVert / \lVert g \rVert$ with the gradient
      $g = \nabla L(\theta)$ and $\eta = {PROBED:g}$: 0 where the gradient still holds after the step, above 1 where
      nothing of it is left. Averaged over the moments below.

    The cost along the gradient shows the same. Choose a moment of the training:
    """),
    )
    return


@app.cell
def _(LOOKED_AT):
    moment = lab.slider("moment", 5, 35, 15, label="Look after step", steps=list(LOOKED_AT))
    lab.panel(moment)
    return (moment,)


@app.cell
def _(committed, landscape, moment, prediction):
    _here = [row for row in landscape if row["after step"] == moment.value]
    _start = {row["kind"]: row["cost"] for row in _here if row["factor"] == 0}
    prediction.gate(
        committed(),
        lab.lines(
            [
                {
                    "step along the gradient (learning rates)": row["factor"],
                    "cost over cost before the step": row["cost"] / _start[row["kind"]],
                    "network": row["kind"],
                }
                for row in _here
            ],
            "step along the gradient (learning rates)",
            "cost over cost before the step",
            by="network",
            says=f"After step {moment.value}: how far the gradient can be believed",
            log_y=True,
        ),
    )
    return


@app.cell
def _(committed, prediction):
    prediction.gate(
        committed(),
        lab.prose(r"""
    The normalized landscapes, with noise or without, go down smoothly over several steps; the plain one turns up. Read
    it with care: a step of the same length is compared, as an optimizer makes it, and the units of a weight differ
    between the networks. One reason can be derived. Multiply a weight in front of a normalization by $a$: the output
    stays, so $L(a w) = L(w)$, and by the chain rule $\nabla L(a w) = \nabla L(w) / a$. Weights that grow in a step that
    was too long get smaller gradients in the next: the layer slows itself down. Measured on one such weight:
    """),
    )
    return


@app.cell
def _():
    _digits = lab.digits()
    scaling = []
    for _scale in (0.5, 1.0, 2.0, 8.0):
        _model = small(gs.nn.BatchNorm1d)
        with torch.no_grad():
            _model[0].weight *= _scale
        _cost = cross_entropy(_model(_digits.x[:128]), _digits.y[:128])
        (_gradient,) = torch.autograd.grad(_cost, _model[0].weight)
        scaling.append(
            {
                "weight times a": _scale,
                "cost": _cost.item(),
                "size of its gradient": _gradient.norm().item(),
                "a × that": _scale * _gradient.norm().item(),
            }
        )
    lab.table(scaling, "The first weight multiplied by a, everything else the same")
    return (scaling,)


@app.cell
def _():
    batch_norm_tried, tell_batch_norm = mo.state(None, allow_self_loops=True)
    return batch_norm_tried, tell_batch_norm


@app.cell
def _(tell_batch_norm):
    exercise_batch_norm = lab.exercises.widget("batch_norm", mo)
    exercise_batch_norm.ask(tell_batch_norm)
    return (exercise_batch_norm,)


@app.cell
def _(exercise_batch_norm, batch_norm_tried):
    exercise_batch_norm.result(batch_norm_tried())
    return


@app.cell
def _():
    graded, grade = mo.state(None, allow_self_loops=True)
    return grade, graded


@app.cell
def _():
    NORMS = {
        "BatchNorm": gs.nn.BatchNorm1d,
        "BatchNorm, momentum 0.01": lambda width: gs.nn.BatchNorm1d(width, momentum=0.01),
        "BatchNorm, none stored": lambda width: gs.nn.BatchNorm1d(width, track_running_stats=False),
        "LayerNorm": gs.nn.LayerNorm,
    }

    def build(norm, batch):
        """The network of this lesson with the batch that it is trained with."""
        digits, model = lab.digits(), small(NORMS[norm])
        n = int(batch)
        sgd = torch.optim.SGD(model.parameters(), lr=0.05)
        return gs.Subject(model, digits.x[:n], digits.y[:n], cross_entropy, sgd)

    fix = lab.Fix(
        LESSON,
        """
        A large model leaves memory for only two samples at a time. The evaluation is bad, and someone suspects the
        running statistics. Choose a normalization, or a batch size, with which `gs.check` finds nothing above a note.
        """.strip(),
        build,
        {"norm": list(NORMS), "batch": ["2", "3", "32"]},
        {"norm": "Normalization", "batch": "Samples in a batch"},
        train=lab.on_digits(batch=None),
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

layers = torch.nn.Linear(64, 64), gs.nn.BatchNorm1d(64), torch.nn.ReLU(), torch.nn.Linear(64, 10)
model = torch.nn.Sequential(*layers)
gs.train.update_batchnorm(model, torch.randn(512, 64).split(128))   # the statistics of all samples
print(gs.check(model, torch.randn(32, 64)))
""",
    )
    lab.stack(take_home)
    return (take_home,)


@app.cell
def _(count):
    lab.questions(
        {
            "How many numbers does a batch normalization hold, and how many does the optimizer see?": rf"""
            {count.per_feature} a feature, {count.total} in all for {count.features} features and the counter:
            {count.learnable_per_feature} learned, which are the optimizer's, and {count.buffers_per_feature} stored.
            Whoever copies only `model.parameters()` leaves the stored ones behind; `state_dict()` has them.""",
            "Someone forgets to switch to evaluation mode before testing. What happens?": """
            The answer to an image depends on the other images of its batch, single images are refused, and every test
            batch also moves the running statistics. The score may look normal, if the test batches are large and well
            mixed; sorted by class it collapses.""",
            "Why are the running statistics not simply learned by gradient descent?": """
            They are no free choice: they estimate what the training data are. In training they take no part in the
            output, so they have no gradient.""",
            "Why does a bias in front of a batch normalization do nothing?": r"""
            It adds the same number to all values of a feature, so it is in $\mu$ too and cancels. Its gradient is 0.
            $\beta$ does its work behind the normalization.""",
            "Does the noise experiment prove that the landscape is the reason?": """
            No. It shows that stable distributions are not needed for the gain. That the gradient holds for longer steps
            is measured; that it is *the* reason is an argument, and there are others: the slow-down by growing weights
            and the regularizing noise of the batch.""",
        }
    )
    return


@app.cell
def _():
    lab.prose("""
    *Sources: Ioffe & Szegedy 2015 (the method); Santurkar, Tsipras, Ilyas & Mądry 2018 (noise, landscape); Wu & He 2018
    (small batches); van Laarhoven 2017 (weights that do not matter in scale).*
    """)
    return


if __name__ == "__main__":
    app.run()
