# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""The family of normalizations: the axes that are averaged must be axes that may be forgotten."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="11. The family of normalizations · gainstage lab")

with app.setup:
    from html import escape
    from math import pi

    import marimo as mo
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    import gainstage as gs
    from gainstage import lab

    LESSON = lab.lesson("l11_family")
    N, C, L = 3, 4, 5  # samples, channels, positions of the cube
    FAMILY = {  # a layer of so many channels and groups; the second says whether its features are on the last axis
        "BatchNorm": (lambda channels, groups: gs.nn.BatchNorm(channels), False),
        "LayerNorm": (lambda channels, groups: gs.nn.LayerNorm(channels), True),
        "GroupNorm": (lambda channels, groups: gs.nn.GroupNorm(groups, channels), False),
        "InstanceNorm": (lambda channels, groups: gs.nn.InstanceNorm(channels), False),
        "RMSNorm": (lambda channels, groups: gs.nn.RMSNorm(channels), True),
        "AdaNorm": (lambda channels, groups: gs.nn.AdaNorm(channels), True),
        "CrossNorm": (lambda channels, groups: gs.nn.CrossNorm(p=1.0), False),
    }


@app.cell
def _():
    lab.title(LESSON)
    return


@app.cell
def _():
    lab.prose(r"""
    Batch normalization (lesson 10) mixes samples, because it averages over them. One may average over something else.
    That small choice made a family of layers, and it decides what a network can still see: **whatever is averaged over,
    its level and its spread are forgotten.**
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The derivation

    The signal is a cube of numbers $x_{n,c,l}$: sample $n$, channel $c$, position $l$ (a pixel, a time, a token). Every
    normalization gives each entry a set $S$ of entries and computes

    $$y = \gamma\,\frac{x - \mu_S}{\sqrt{\sigma_S^2 + \epsilon}} + \beta$$

    with the mean $\mu_S$ and the variance $\sigma_S^2$ over that set. The members of the family differ in $S$:

    - **Batch**: one channel, over all samples and positions.
    - **Layer**: one sample and one position, over all channels.
    - **Group**: one sample and a group of channels, over all positions.
    - **Instance**: one sample and one channel, over all positions. It is Group with as many groups as channels.
    - **RMS**: as Layer, but $\mu$ is not taken off: $x / \sqrt{\operatorname{mean}_S(x^2) + \epsilon}$.
    - **AdaNorm**: as Layer, and then $z = C\,(1 - k y)\,y$, where the bracket takes no gradient and $C = 1$, $k = 0.1$.
    - **CrossNorm**: takes off the sample's own $\mu, \sigma$ of a channel and puts on those of *another* sample, in
      training only.

    **What is forgotten.** Replace $x$ by $a x + b$ on the whole set $S$, with $a > 0$. Then $\mu_S$ becomes
    $a\mu_S + b$ and $\sigma_S$ becomes $a\sigma_S$, so $y$ stays as it was (up to $\epsilon$). No layer behind it can
    ever find out $a$ and $b$. Without the mean, RMS forgets $a$ and keeps $b$.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The code

    One function is the whole family: which axes, how many groups, with the mean or without.
    """)
    return


@app.function
def normalize_by_hand(x, over, groups=1, centre=True, eps=1e-5):
    """Normalization of [samples, channels, positions] over some of: sample, group, channel (in its group), position."""
    axes = [["sample", "group", "channel", "position"].index(name) for name in over]
    z = x.unflatten(1, (groups, -1))
    if centre:
        z = z - z.mean(axes, keepdim=True)
    z = z / (z.square().mean(axes, keepdim=True) + eps).sqrt()
    return z.flatten(1, 2)


@app.class_definition
class OverTokens(nn.Module):
    """A layer whose features are on the last axis, for [samples, channels, positions]."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        """Each position is a token, its channels are the features."""
        return self.layer(x.movedim(1, -1)).movedim(-1, 1)


@app.function
def member(name, channels=C, groups=2):
    """A member of the family as the library has it, for [samples, channels, positions]."""
    make, last = FAMILY[name]
    return OverTokens(make(channels, groups)) if last else make(channels, groups)


@app.cell
def _():
    lab.code(normalize_by_hand)
    return


@app.cell
def _():
    lab.prose(r"""
    In the library each member is a layer with the arguments of `torch.nn`:

    ```python
    gs.nn.GroupNorm(8, 64)    # Batch, Group, Instance: channels on the second axis
    gs.nn.RMSNorm(64)         # Layer, RMS, Ada: features on the last axis
    gs.nn.norm("group", 64)   # any of them by name
    ```

    Both on the same random numbers:
    """)
    return


@app.cell
def _():
    _x, _tokens = 3 * lab.draw(gs.init.normal(), 16, 8, 12, seed=1) + 2, ("group", "channel")
    _layer = normalize_by_hand(_x, _tokens)
    _other = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    _mean, _std = _x.mean(2, keepdim=True), _x.std(2, keepdim=True, correction=0)
    _hands = {
        "BatchNorm": ("sample, position", normalize_by_hand(_x, ("sample", "channel", "position"), groups=8)),
        "LayerNorm": ("channel", _layer),
        "GroupNorm": ("channels of a group, position", normalize_by_hand(_x, ("channel", "position"), groups=2)),
        "InstanceNorm": ("position", normalize_by_hand(_x, ("channel", "position"), groups=8)),
        "RMSNorm": ("channel", normalize_by_hand(_x, _tokens, centre=False)),
        "AdaNorm": ("channel", (1 - 0.1 * _layer) * _layer),
        "CrossNorm": (
            "position",
            normalize_by_hand(_x, ("channel", "position"), groups=8) * _std[_other] + _mean[_other],
        ),
    }
    by_hand = []
    for _name, (_over, _y) in _hands.items():
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)  # CrossNorm draws who is exchanged with whom
            _apart = (member(_name, 8)(_x) - _y).abs().max().item()
        by_hand.append({"layer": _name, "averaged over": _over, "largest difference": _apart})
    lab.table(by_hand, "By hand against the library")
    return (by_hand,)


@app.cell
def _():
    lab.prose(rf"""
    ## Measure it: the cube

    {N} samples of {C} channels and {L} positions. Choose one output. The figure shows from which inputs it can be
    influenced: nobody drew it, it is where the gradient of that output, taken by autograd through the library's layer,
    is not zero. Try the groups of GroupNorm: with 1 it is a layer normalization of the whole sample, with {C} it is
    InstanceNorm. Then switch BatchNorm to evaluation.
    """)
    return


@app.cell
def _():
    layer = lab.dropdown("layer", list(FAMILY), "GroupNorm", label="Layer")
    mode = lab.dropdown("mode", ["training", "evaluation"], "training", label="Mode")
    groups = lab.slider("groups", 1, 4, 2, label="Groups (of GroupNorm)", steps=[1, 2, 4])
    sample = lab.slider("sample", 1, N, 2, label="Sample of the output")
    channel = lab.slider("channel", 1, C, 2, label="Channel of the output")
    position = lab.slider("position", 1, L, 3, label="Position of the output")
    lab.panel(layer, mode, groups, sample, channel, position)
    return channel, groups, layer, mode, position, sample


@app.function
def influence(norm, at, training=True):
    """For every entry of the cube, whether the output at `at` depends on it: booleans [N, C, L]."""
    x = lab.draw(gs.init.normal(), N, C, L, seed=4).requires_grad_()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # a draw in which CrossNorm gives every sample another partner
        (gradient,) = torch.autograd.grad(norm.train(training)(x)[at], x)
    return gradient.abs() > 1e-6 * gradient.abs().max()


@app.function
def spans(cells):
    """How many samples, channels and positions a set of cells spans."""
    return [cells.movedim(axis, 0).flatten(1).any(1).sum().item() for axis in range(3)]


@app.function
def axes_of(cells):
    """The same in words."""
    named = zip(spans(cells), ("sample", "channel", "position"), cells.shape, strict=True)
    return ", ".join(f"{'all' if n == size else n} {name}{'s' if n > 1 else ''}" for n, name, size in named)


@app.function
def sheet(cells, n, at):
    """One sample of the cube, drawn slanted; a cell that counts is filled and has a dot, the output has a ring."""
    w, h, slant = 32, 28, 10
    parts = [f'<text x="{L * w / 2 + 20:g}" y="14">sample {n + 1}</text>']
    for c in range(C):
        for i in range(L):
            x, y = 20 + i * w + (C - 1 - c) * slant, 22 + c * h
            on, middle = bool(cells[n, c, i]), f'cx="{x + (w + slant) / 2:g}" cy="{y + h / 2:g}"'
            parts.append(
                f'<polygon points="{x + slant},{y} {x + slant + w},{y} {x + w},{y + h} {x},{y + h}" '
                f'fill="{"#0072b2" if on else "none"}" fill-opacity="0.75" stroke="currentColor" stroke-opacity="0.5"/>'
            )
            if on:
                parts.append(f'<circle {middle} r="3.5" fill="white"/>')
            if (n, c, i) == at:
                parts.append(f'<circle {middle} r="9" fill="none" stroke="#e69f00" stroke-width="3"/>')
    parts.append(f'<text x="{L * w / 2 + 20:g}" y="{40 + C * h}">positions →</text>')
    parts.append(f'<text transform="translate(12,{22 + C * h / 2:g}) rotate(-90)">← channels</text>')
    return (
        f'<svg aria-hidden="true" viewBox="0 0 {20 + L * w + C * slant + 4} {46 + C * h}" font-size="13" '
        'text-anchor="middle" fill="currentColor" style="flex:1 1 30%;min-width:150px;max-width:230px;height:auto">'
        f"{''.join(parts)}</svg>"
    )


@app.function
def cube(cells, at, says):
    """The cube as sheets beside each other, one a sample, with what they say as text."""
    sheets = "".join(sheet(cells, n, at) for n in range(N))
    made = (
        f'<figure style="margin:0"><div role="img" aria-label="{escape(says)}" '
        f'style="display:flex;flex-wrap:wrap;gap:8px">{sheets}</div><figcaption>{escape(says)}</figcaption></figure>'
    )
    return lab.Block(made, made)


@app.cell
def _(channel, groups, layer, mode, position, sample):
    at = (sample.value - 1, channel.value - 1, position.value - 1)
    cells = influence(member(layer.value, C, groups.value), at, mode.value == "training")
    return at, cells


@app.cell
def _(at, cells, layer, mode):
    _place = f"sample {at[0] + 1}, channel {at[1] + 1}, position {at[2] + 1}"
    _words = axes_of(cells)
    lab.stack(
        lab.readout(inputs_that_count=int(cells.sum()), of=cells.numel(), they_span=_words),
        cube(
            cells,
            at,
            f"{layer.value} in {mode.value}: the output at {_place} (ring) depends on the {int(cells.sum())} filled "
            f"cells with a dot: {_words}.",
        ),
    )
    return


@app.cell
def _():
    lab.prose(r"""
    ## The comparison, measured

    Each row is one layer on $64 \times 32 \times 16$ numbers of mean 2 and standard deviation 3. *Forgets* means: the
    named part of the input is multiplied by 3, or raised by 3, and the layer's output (in training) does not change by
    more than a thousandth. *Learned* and *stored*: numbers a channel.
    """)
    return


@app.function
def facts(name):
    """What can be measured of a layer, in one row."""
    x, norm = 3 * lab.draw(gs.init.normal(), 64, 32, 16, seed=2) + 2, member(name, 32, 4)

    def out(z, training=True):
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            return norm.train(training)(z)

    def forgets(change):
        return (out(change(x)) - y).abs().max().item() < 1e-3 * y.abs().max().item()

    def only(part, change):
        def changed(z):
            z = z.clone()
            z[part] = change(z[part])
            return z

        return changed

    y = out(x)
    one_sample, one_channel = (slice(0, 1),), (slice(None), slice(0, 1))
    try:
        alone = not torch.isnan(out(x[:1, :, :1])).any().item()
    except gs.GainstageError:
        alone = False
    learned = sum(p.numel() for p in norm.parameters())
    stored = sum(b.numel() for b in norm.buffers() if b.dim())
    return {
        "layer": name,
        f"inputs of an output, of {N}×{C}×{L}": "×".join(map(str, spans(influence(member(name), (1, 1, 2))))),
        "the same in evaluation": (out(x, training=False) - out(x)).abs().max().item() < 1e-5,
        "one sample, one position": alone,
        "forgets the scale of a sample": forgets(only(one_sample, lambda part: part * 3)),
        "forgets the level of a sample": forgets(only(one_sample, lambda part: part + 3)),
        "forgets the scale of a channel": forgets(only(one_channel, lambda part: part * 3)),
        "mean": round(y.mean().item(), 6) + 0.0,
        "mean square": y.square().mean().item(),
        "learned": learned // 32,
        "stored": stored // 32,
    }


@app.cell
def _():
    comparison = [facts(name) for name in FAMILY]
    lab.table(comparison, "The family, by measurement")
    return (comparison,)


@app.cell
def _():
    lab.prose(r"""
    Read it by columns. Only the layers that read other samples behave differently in evaluation. InstanceNorm and
    CrossNorm need positions: on a vector there is one, and its deviation from itself is 0. RMSNorm forgets the scale
    and keeps the level, with half of the parameters and no mean to compute. AdaNorm has nothing to learn; its mean is
    not 0, but $-k\,\mathbb{E}[y^2] = -k$.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## What may be forgotten?

    That depends on the task, and here are two. Both show waves with noise to a small network (one convolution without
    bias, the normalization, ReLU, the mean over positions, one linear layer).

    - **Contrast is the class**: weak waves against strong waves, of any frequency.
    - **Contrast is a nuisance**: slow waves against fast ones; the test is ten times fainter than the training, as if
      photographed at dusk.
    """)
    return


@app.function
def waves(task, samples, seed, test=False):
    """Noisy waves [samples, 1, 32] and their classes."""
    random = torch.Generator().manual_seed(seed)
    y = torch.randint(2, (samples,), generator=random)
    phase, spread = torch.rand(2, samples, 1, 1, generator=random)
    one = y[:, None, None] == 1
    if task == "contrast is the class":
        frequency = torch.randint(2, 5, (samples, 1, 1), generator=random)
        size = torch.where(one, 2.0, 0.5)
    else:
        frequency, size = torch.where(one, 6, 3), 0.1 if test else 1.0
    wave = torch.sin(2 * pi * (frequency * torch.arange(32) / 32 + phase))
    return size * (0.8 + 0.4 * spread) * (wave + 0.3 * torch.randn(samples, 1, 32, generator=random)), y


@app.function
def accuracy_on(name, task, seed=0):
    """Of a small convolutional network with this normalization, after 80 steps of Adam."""
    norm = nn.Identity() if name == "none" else member(name, 8)
    model = nn.Sequential(
        nn.Conv1d(1, 8, 7, bias=False), norm, nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 2)
    )
    x, y = waves(task, 512, seed=100 + seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # of CrossNorm
        gs.initialize(model, x[:32], seed=seed)
        adam = torch.optim.Adam(model.parameters(), lr=0.02)
        batches = gs.train.minibatches(x, y, batch_size=64, steps=80, seed=seed)
        gs.train.fit(model, batches, loss=cross_entropy, optimizer=adam)
    return gs.train.accuracy(model, *waves(task, 512, seed=200 + seed, test=True))


@app.cell
def _():
    committed, commit = mo.state(None, allow_self_loops=True)
    return commit, committed


@app.cell
def _():
    TASKS = ["contrast is the class", "contrast is a nuisance"]
    OPTIONS = ["Over 90 %: it normalizes better, image by image", "60 to 90 %", "Like guessing: under 60 %"]
    prediction = lab.Predict(
        LESSON,
        """
        On the first task (weak against strong waves) the network with BatchNorm gets nearly everything right. What test
        accuracy does it reach with InstanceNorm in its place?
        """.strip(),
        OPTIONS,
    )
    return OPTIONS, TASKS, prediction


@app.cell
def _(commit, committed, prediction):
    prediction.ask(committed, commit)
    return


@app.cell
def _(OPTIONS, TASKS):
    two_tasks = [
        {"normalization": name, **{task: accuracy_on(name, task) for task in TASKS}} for name in ("none", *FAMILY)
    ]
    _instance = next(row for row in two_tasks if row["normalization"] == "InstanceNorm")[TASKS[0]]
    truth = OPTIONS[0] if _instance > 0.9 else OPTIONS[1] if _instance > 0.6 else OPTIONS[2]
    return truth, two_tasks


@app.cell
def _(committed, prediction, truth, two_tasks):
    prediction.reveal(
        committed(),
        truth,
        lab.stack(
            lab.table(two_tasks, "Test accuracy, 512 samples; guessing gives 0.5"),
            lab.prose(r"""
            The convolution has no bias, so contrast multiplies everything behind it, by one factor a sample. Every
            layer that averages within the sample divides it out: the class is gone before the first ReLU, and no
            training brings it back. CrossNorm hands each sample the contrast of another one, on purpose. For the second
            task the same forgetting is what is needed: BatchNorm and the bare network, trained in daylight, lose much
            at dusk, as they compare with stored levels or with none. CrossNorm loses too: it exchanges the contrasts
            that training has, and dusk is not among them.
            """),
        ),
    )
    return


@app.cell
def _():
    layer_norms_tried, tell_layer_norms = mo.state(None, allow_self_loops=True)
    return layer_norms_tried, tell_layer_norms


@app.cell
def _(tell_layer_norms):
    exercise_layer_norms = lab.exercises.widget("layer_norms", mo)
    exercise_layer_norms.ask(tell_layer_norms)
    return (exercise_layer_norms,)


@app.cell
def _(exercise_layer_norms, layer_norms_tried):
    exercise_layer_norms.result(layer_norms_tried())
    return


@app.cell
def _():
    graded, grade = mo.state(None, allow_self_loops=True)
    return grade, graded


@app.cell
def _():
    NORMS = {
        "InstanceNorm as GroupNorm(64, 64)": lambda: nn.GroupNorm(64, 64),
        "the same with a larger epsilon, 1": lambda: nn.GroupNorm(64, 64, eps=1.0),
        "GroupNorm(32, 64)": lambda: nn.GroupNorm(32, 64),
        "GroupNorm(8, 64)": lambda: nn.GroupNorm(8, 64),
        "back to BatchNorm1d(64)": lambda: nn.BatchNorm1d(64),
    }

    def build(norm):
        """A network for the digits as vectors, on two samples at a time."""
        digits = lab.digits()
        model = nn.Sequential(nn.Linear(64, 64, bias=False), NORMS[norm](), nn.ReLU(), nn.Linear(64, 10))
        gs.init.fill_(model[0].weight, gs.init.he_normal(), seed=0, name="0.weight")
        gs.init.fill_(model[3].weight, gs.init.he_normal(), seed=0, name="3.weight")
        nn.init.zeros_(model[3].bias)
        return gs.Subject(model, digits.x[:2], digits.y[:2], cross_entropy)

    fix = lab.Fix(
        LESSON,
        """
        With two samples in memory, somebody replaced batch normalization by instance normalization: one group a
        channel. But this network reads vectors, not images. Choose a normalization with which `gs.check` finds nothing
        above a note.
        """.strip(),
        build,
        {"norm": list(NORMS)},
        {"norm": "Normalization"},
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

model = torch.nn.Sequential(torch.nn.Conv2d(3, 32, 3), torch.nn.BatchNorm2d(32), torch.nn.ReLU())
model = gs.nn.convert_norm(model, "group", num_groups=8)   # the same weight and bias, no batch any more
print(model, gs.check(model, torch.randn(8, 3, 16, 16)))
""",
    )
    lab.stack(take_home)
    return (take_home,)


@app.cell
def _():
    lab.questions(
        {
            "Which members give the same answer for a sample whatever else is in the batch?": """
            All whose set S stays within the sample: Layer, Group, Instance, RMS, AdaNorm. BatchNorm does in evaluation
            only, and CrossNorm is switched off there.""",
            "Group normalization with as many groups as channels, on vectors. What comes out?": r"""
            Each set holds one entry, which is its own mean: $x - \mu = 0$ for every input, and the output is $\beta$.
            With two entries in a group the outputs are $-1$ and $1$: only their order is left.""",
            "Would a bias in the convolution let LayerNorm see the contrast?": """
            Partly, yes. The bias is a fixed level beside which the wave is small or large, and their ratio survives.
            InstanceNorm takes the bias of its channel away with the mean, so there it changes nothing.""",
            "Why do transformers use Layer or RMS and not Batch normalization?": """
            Their batches hold sentences of different lengths, in generation one token at a time: averages over samples
            would depend on padding and on neighbours. Averaging over the channels of one token needs nobody else.""",
            "Why is the mean worth leaving out in RMSNorm?": """
            What keeps deep networks trainable is the fixed scale. Zhang and Sennrich found results about as good
            without the mean, and it saves one pass over the numbers. The level of a token is then still visible.""",
        }
    )
    return


@app.cell
def _():
    lab.prose("""
    *Sources: Ioffe & Szegedy 2015 (Batch); Ba, Kiros & Hinton 2016 (Layer); Ulyanov, Vedaldi & Lempitsky 2016
    (Instance); Wu & He 2018 (Group); Zhang & Sennrich 2019 (RMS); Xu and others 2019 (AdaNorm); Tang and others 2021
    (CrossNorm).*
    """)
    return


if __name__ == "__main__":
    app.run()
