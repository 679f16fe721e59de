# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Mixup and CutMix: a target must be mixed exactly as its inputs are."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="14. Mixup and CutMix · gainstage lab")

with app.setup:
    from functools import cache
    from html import escape
    from itertools import pairwise
    from math import pi

    import marimo as mo
    import torch
    from sklearn.datasets import load_digits
    from torch import nn
    from torch.nn.functional import cross_entropy, one_hot

    import gainstage as gs
    from gainstage import lab

    LESSON = lab.lesson("l14_mixing")
    SAMPLES, STEPS = 64, 120
    METHODS = {"none": None, "mixup": gs.train.mixup, "cutmix": gs.train.cutmix}


@app.cell
def _():
    lab.title(LESSON)
    return


@app.cell
def _():
    lab.prose(r"""
    A classifier that is trained on right-or-wrong targets learns to be certain. Between its samples nobody told it
    anything, and there too it is certain, on one side or the other of a boundary that follows every noisy sample. How
    far can its stated probabilities be believed?

    **Mixup** and **CutMix** tell it something about the space between: they train on mixtures of two samples, with
    targets mixed in the same shares.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The derivation

    Take two samples $(x_a, y_a)$ and $(x_b, y_b)$, with targets as probabilities (1 for the class, 0 for the others),
    and a random share $\lambda$ between 0 and 1. **Mixup** trains on

    $$\tilde x = \lambda\,x_a + (1 - \lambda)\,x_b \qquad \tilde y = \lambda\,y_a + (1 - \lambda)\,y_b$$

    The share is drawn from the distribution $\mathrm{Beta}(\alpha, \alpha)$: symmetric around 1/2, with variance
    $\frac{1}{4(2\alpha + 1)}$. A small $\alpha$ gives shares near 0 or 1 (hardly mixed), $\alpha = 1$ every share
    alike, a large $\alpha$ shares near 1/2.

    Cross-entropy is linear in the target, $\ell(s, \tilde y) = -\sum_c \tilde y_c \log p_c(s)$, so

    $$\ell(s, \tilde y) = \lambda\,\ell(s, y_a) + (1 - \lambda)\,\ell(s, y_b)$$

    and either side may be computed. **CutMix** is for images: it pastes a box of $x_b$ into $x_a$. The shares are then
    *areas*: of an image with $P$ pixels, of which the box covers $k$,

    $$\lambda = 1 - k / P$$

    A box that was drawn over the border is cut off, and $k$ has to be counted afterwards. Otherwise the target claims
    a share that is not in the image.

    **Calibration.** Among all predictions with a stated probability near 0.8, 80 % should be right. Sort predictions
    into bins $b$ by the probability of their class and compare; with $n_b$ of $n$ predictions in a bin,

    $$\mathrm{ECE} = \sum_b \frac{n_b}{n}\,\lvert \text{share right}_b - \text{mean stated probability}_b \rvert$$
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The code

    By hand:
    """)
    return


@app.function
def mixup_by_hand(x, target, partner, share):
    """Each sample with its partner; the target, as probabilities, in the same shares."""
    return share * x + (1 - share) * x[partner], share * target + (1 - share) * target[partner]


@app.function
def cutmix_by_hand(a, b, share, row, column):
    """A square box of image b around a pixel pasted into image a, and the share of a that is left, counted."""
    size = a.shape[-1]
    edge = round(size * (1 - share) ** 0.5)
    top, left = max(row - edge // 2, 0), max(column - edge // 2, 0)
    bottom, right = min(row - edge // 2 + edge, size), min(column - edge // 2 + edge, size)
    mixed = a.clone()
    mixed[..., top:bottom, left:right] = b[..., top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / size**2


@app.function
def bins_by_hand(scores, y, bins=10):
    """For every bin of stated probability: how many, mean stated probability, share right."""
    stated, guess = scores.double().softmax(1).max(1)
    place = ((stated * bins).ceil().long() - 1).clamp(0, bins - 1)
    found = []
    for b in range(bins):
        inside = place == b
        if inside.any():
            right = (guess == y)[inside].double().mean().item()
            found.append((int(inside.sum()), stated[inside].mean().item(), right))
    return found


@app.cell
def _():
    lab.code(mixup_by_hand, cutmix_by_hand, bins_by_hand)
    return


@app.cell
def _():
    lab.prose(r"""
    The library mixes targets of any kind, and any shape of input:

    ```python
    x, mixed = gs.train.mixup(x, y, 1.0)          # or cutmix; mixed is (y_a, y_b, lam)
    loss = gs.train.mixed_loss(cross_entropy)     # loss(scores, mixed)
    gs.train.calibration_error(scores, y, bins=10)
    ```

    Both are run on digits, and the differences are shown:
    """)
    return


@app.cell
def _():
    _data, _random = lab.digits(), torch.Generator().manual_seed(0)
    _x, _rows, _target = _data.x[:32], torch.arange(32), one_hot(_data.y[:32], 10).float()
    _mixed, (_, _partner, _lam) = gs.train.mixup(_x, _rows, 1.0, generator=_random)
    _hand_x, _hand_y = mixup_by_hand(_x, _target, _partner, _lam)
    _scores = lab.draw(gs.init.normal(), 32, 10, seed=1)
    _both = gs.train.Mixed(_data.y[:32], _data.y[:32][_partner], _lam)
    _right = torch.tensor([float(s) for s in _data.y[:32] % 2])
    _two = lab.draw(gs.init.normal(), 2000, 2, seed=2)
    _y = (_two[:, 1] > 0.3 * _two[:, 0]).long()
    _ece = sum(n / 2000 * abs(right - stated) for n, stated, right in bins_by_hand(_two, _y))
    apart = {
        "mixed_inputs": (_hand_x - _mixed).abs().max().item(),
        "mixed_targets": (_hand_y - _both.soft(10)).abs().max().item(),
        "loss_of_the_two_forms": abs(
            (cross_entropy(_scores, _hand_y) - gs.train.mixed_loss(cross_entropy)(_scores, _both)).item()
        ),
        "calibration_error": abs(_ece - gs.train.calibration_error(_two, _y, bins=10)),
    }
    lab.readout(**apart)
    return (apart,)


@app.cell
def _():
    lab.prose(r"""
    ## The share is counted

    CutMix on black and white images of $8 \times 8$ pixels, where the share that is left can be read off the image.
    """)
    return


@app.cell
def _():
    _draws, _random = 400, torch.Generator().manual_seed(0)
    _black, _white = torch.zeros(1, 8, 8), torch.ones(1, 8, 8)
    _asked, _counted, _seen = [], [], []
    for _share in torch.rand(_draws, generator=_random).tolist():
        _row, _column = torch.randint(8, (2,), generator=_random).tolist()
        _image, _left = cutmix_by_hand(_black, _white, _share, _row, _column)
        _asked.append(_share)
        _counted.append(_left)
        _seen.append(1 - _image.mean().item())
    _told, _read = [], []
    for _ in range(_draws // 20):
        _image, _mixed = gs.train.cutmix(
            torch.stack([_black, _white] * 10), torch.arange(20), per="element", generator=_random
        )
        _own = torch.tensor([0.0, 1.0] * 10)
        _other = _own[_mixed.y_b]
        _differ = _own != _other
        _told += _mixed.lam[_differ].tolist()
        _read += (1 - (_image.mean((1, 2, 3)) - _own).abs())[_differ].tolist()
    shares = [
        {
            "λ": name,
            "mean": sum(claimed) / len(claimed),
            "largest distance to the pixels": max(abs(a - b) for a, b in zip(claimed, truth, strict=True)),
        }
        for name, claimed, truth in (
            ("as drawn, before the border cuts the box", _asked, _seen),
            ("counted, by hand", _counted, _seen),
            ("of gs.train.cutmix", _told, _read),
        )
    ]
    lab.table(shares, "What is claimed of the target, against what is in the image")
    return (shares,)


@app.cell
def _():
    lab.prose(rf"""
    ## Measure it: boundary and calibration, live

    {SAMPLES} samples of two interleaved half moons, with noise. A small network is trained on them twice from the same
    start: as they are, and mixed as you choose. The maps show the stated probability, in bands, with the boundary as
    a black line; the numbers are taken on 2,000 fresh samples.
    """)
    return


@app.cell
def _():
    committed, commit = mo.state(None, allow_self_loops=True)
    return commit, committed


@app.cell
def _():
    CLEAN = 0.1
    OPTIONS = ["It falls: mixing calibrates", "It hardly changes: nothing is wrong there", "It rises"]
    prediction = lab.Predict(
        LESSON,
        f"""
        The moons with little noise ({CLEAN:g}): the unmixed network is right nearly always, and nearly certain. What
        does mixup with α = 1 do to its calibration error (mean of 4 seeds)?
        """.strip(),
        OPTIONS,
    )
    return CLEAN, OPTIONS, prediction


@app.cell
def _(commit, committed, prediction):
    prediction.ask(committed, commit)
    return


@app.cell
def _(CLEAN, OPTIONS):
    clean = {
        name: {k: sum(q[k] for q in found) / len(found) for k in found[0]}
        for name in ("none", "mixup")
        for found in [[quality(*on_moons(name, 1, CLEAN, s)[1:]) for s in range(4)]]
    }
    _times = clean["mixup"]["calibration error"] / clean["none"]["calibration error"]
    truth = OPTIONS[0] if _times < 0.7 else OPTIONS[2] if _times > 1.4 else OPTIONS[1]
    return clean, truth


@app.cell
def _(clean, committed, prediction, truth):
    _none, _mixup = clean["none"], clean["mixup"]
    prediction.reveal(
        committed(),
        truth,
        rf"""
        From {_none["calibration error"]:.3f} to {_mixup["calibration error"]:.3f}. Accuracy is
        {_none["accuracy"]:.1%} without and {_mixup["accuracy"]:.1%} with mixup, but the mean stated probability goes
        from {_none["mean stated probability"]:.1%} to {_mixup["mean stated probability"]:.1%}: the network was taught
        that points between the samples are of both classes, and now doubts what it could know. Too little certainty is
        an error of calibration as well. A smaller α, or ending the mixing some epochs before the training
        (`gs.train.Mixer(stop_epoch=...)`), leaves less of it.
        """,
    )
    return


@app.cell
def _():
    method = lab.dropdown("method", ["mixup", "cutmix"], "mixup", label="Mixed by")
    alpha = lab.slider("alpha", 0.1, 8, 1, label="α of the shares", steps=[0.1, 0.2, 0.5, 1, 2, 4, 8])
    noise = lab.slider("noise", 0.05, 0.6, 0.4, label="Noise of the data", step=0.05)
    seed = lab.slider("seed", 0, 10, 0, label="Seed")
    lab.panel(method, alpha, noise, seed)
    return alpha, method, noise, seed


@app.function
def moons(n, noise, seed):
    """Two interleaved half circles of radius 1, and the class of every sample."""
    random, y = torch.Generator().manual_seed(seed), torch.arange(n) % 2
    turn = pi * torch.rand(n, generator=random)
    across = torch.where(y == 0, turn.cos(), 1 - turn.cos())
    up = torch.where(y == 0, turn.sin(), 0.5 - turn.sin())
    return torch.stack([across, up], 1) + noise * torch.randn(n, 2, generator=random), y


@app.function
def trained(model, x, y, method, alpha, seed, steps=STEPS, rate=0.02):
    """Trains the model by Adam on batches that are mixed, or not, and returns it."""
    gs.initialize(model, x[:32], seed=seed)
    random, mix = torch.Generator().manual_seed(seed), METHODS[method]
    batches = gs.train.minibatches(x, y, batch_size=32, steps=steps, seed=seed)
    loss = cross_entropy
    if mix is not None:
        batches = (mix(some_x, some_y, alpha, generator=random) for some_x, some_y in batches)
        loss = gs.train.mixed_loss(cross_entropy)
    gs.train.fit(model, batches, loss=loss, optimizer=torch.optim.Adam(model.parameters(), lr=rate))
    return model


@app.function
@cache
def on_moons(method, alpha, noise, seed):
    """A trained network, its scores on fresh samples and their classes."""
    model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
    trained(model, *moons(SAMPLES, noise, seed), method, alpha, seed)
    x, y = moons(2000, noise, seed + 1000)
    with torch.no_grad():
        return model, model(x), y


@app.function
def quality(scores, y):
    """What is measured of scores."""
    return {
        "accuracy": (scores.argmax(1) == y).double().mean().item(),
        "mean stated probability": scores.softmax(1).max(1).values.mean().item(),
        "calibration error": gs.train.calibration_error(scores, y, bins=10),
        "negative log-likelihood": gs.train.negative_log_likelihood(scores, y),
    }


@app.cell
def _(alpha, method, noise, seed):
    networks = {
        "not mixed": on_moons("none", 0, noise.value, seed.value),
        f"{method.value}, α = {alpha.value:g}": on_moons(method.value, alpha.value, noise.value, seed.value),
    }
    measured = [{"training": name, **quality(scores, y)} for name, (_, scores, y) in networks.items()]
    return measured, networks


@app.cell
def _(committed, measured, prediction):
    prediction.gate(
        committed(),
        lab.stack(
            lab.readout(
                calibration_error_not_mixed=measured[0]["calibration error"],
                calibration_error_mixed=measured[1]["calibration error"],
            ),
            lab.table(measured, "On 2,000 fresh samples"),
        ),
    )
    return


@app.function
def decision_map(model, x, y, says, columns=56, rows=40):
    """The stated probability of class 1 in ten bands, the boundary, and the training samples."""
    (left, right), (low, high), cell = (-2.0, 3.0), (-1.6, 2.1), 6
    across = torch.linspace(left, right, columns)
    up = torch.linspace(high, low, rows)
    grid = torch.stack(torch.meshgrid(across, up, indexing="xy"), -1).view(-1, 2)
    with torch.no_grad():
        chance = model(grid).softmax(1)[:, 1].view(rows, columns)
    bands, parts = (chance * 10).long().clamp(0, 9).tolist(), []
    for r, row in enumerate(bands):  # neighbours of the same band are one rectangle
        starts = [0] + [i for i in range(1, columns) if row[i] != row[i - 1]] + [columns]
        for first, last in pairwise(starts):
            colour, strength = "#0072b2" if row[first] > 4 else "#e69f00", abs(row[first] - 4.5) / 4.5
            parts.append(
                f'<rect x="{first * cell}" y="{r * cell}" width="{(last - first) * cell}" height="{cell}" '
                f'fill="{colour}" fill-opacity="{0.1 + 0.65 * strength:.2f}" shape-rendering="crispEdges"/>'
            )
    side = chance > 0.5
    edges = [
        f"M{c * cell} {r * cell}v{cell}"
        for r, c in (side[:, 1:] != side[:, :-1]).nonzero().add(torch.tensor([0, 1])).tolist()
    ]
    edges += [
        f"M{c * cell} {r * cell}h{cell}"
        for r, c in (side[1:] != side[:-1]).nonzero().add(torch.tensor([1, 0])).tolist()
    ]
    parts.append(f'<path d="{"".join(edges)}" stroke="black" stroke-width="2.5" fill="none"/>')
    for (px, py), label in zip(x.tolist(), y.tolist(), strict=True):
        cx, cy = (px - left) / (right - left) * columns * cell, (high - py) / (high - low) * rows * cell
        shape = (
            f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="4" fill="#0072b2"'
            if label
            else f'<rect x="{cx - 3.5:.1f}" y="{cy - 3.5:.1f}" width="7" height="7" fill="#e69f00"'
        )
        parts.append(shape + ' stroke="black"/>')
    made = (
        f'<figure style="margin:0"><svg role="img" aria-label="{escape(says)}" '
        f'viewBox="0 0 {columns * cell} {rows * cell}" style="width:100%;height:auto;background:white">'
        f"{''.join(parts)}</svg><figcaption>{escape(says)}</figcaption></figure>"
    )
    return lab.Block(made, made)


@app.cell
def _(measured, networks, noise, seed):
    _x, _y = moons(SAMPLES, noise.value, seed.value)
    lab.stack(
        *[
            decision_map(
                model,
                _x,
                _y,
                f"{name}: accuracy {row['accuracy']:.1%}, calibration error {row['calibration error']:.3f}",
            )
            for (name, (model, _, _)), row in zip(networks.items(), measured, strict=True)
        ],
        side_by_side=True,
    )
    return


@app.cell
def _(committed, networks, prediction):
    _rows = [
        {"mean stated probability": stated, "share right": right, "training": name}
        for name, (_, scores, y) in networks.items()
        for n, stated, right in bins_by_hand(scores, y)
        if n >= 20
    ]
    _rows += [{"mean stated probability": p, "share right": p, "training": "perfect"} for p in (0.5, 1.0)]
    prediction.gate(
        committed(),
        lab.lines(
            _rows,
            "mean stated probability",
            "share right",
            by="training",
            says="Below the straight line: too certain",
        ),
    )
    return


@app.cell
def _(committed, prediction):
    prediction.gate(
        committed(),
        lab.prose(r"""
    Orange squares are one class, blue circles the other; the stronger the colour, the more certain the network. The
    chart takes bins of at least 20 samples. Things to find: much noise, where the unmixed network is certain and wrong;
    little noise, where mixing makes it less certain than it could be; a large α, which makes everything a mean of two
    samples and the boundary blunt; and `cutmix`, which on two coordinates can only take one of them from each sample.
    There the "box" means nothing: it invents points that lie on neither moon.
    """),
    )
    return


@app.cell
def _():
    lab.prose("""
    ## On images

    There a box does mean something. Two digits, mixed both ways:
    """)
    return


@app.cell
def _():
    pair = lab.slider("pair", 0, 20, 3, label="Draw of the pair and its share")
    lab.panel(pair)
    return (pair,)


@app.function
def picture(image, says):
    """An image of 8 by 8 numbers from 0 to 16, larger ones darker, with what it is."""
    grey = (image / 16).view(8, 8).tolist()
    cells = "".join(
        f'<rect x="{c * 10}" y="{r * 10}" width="10.5" height="10.5" fill="rgb({v:.0f},{v:.0f},{v:.0f})"/>'
        for r, row in enumerate(grey)
        for c, v in enumerate(255 * (1 - value) for value in row)
    )
    return (
        f'<figure style="margin:0;flex:0 1 130px"><svg role="img" aria-label="{escape(says)}" viewBox="0 0 80 80" '
        f'style="width:100%">{cells}</svg><figcaption>{escape(says)}</figcaption></figure>'
    )


@app.cell
def _(pair):
    _digits, _random = load_digits(), torch.Generator().manual_seed(pair.value)
    _rows = torch.randperm(len(_digits.target), generator=_random)[:2]
    _x = torch.tensor(_digits.images, dtype=torch.float32)[_rows, None]  # [2, 1, 8, 8], not standardized: to look at
    _y = torch.tensor(_digits.target)[_rows]
    _pictures = [picture(_x[i], f"a {_y[i]}") for i in range(2)]
    for _name in ("mixup", "cutmix"):
        _mixed, (_, _, _lam) = METHODS[_name](_x, _y, 1.0, generator=_random)
        _pictures.append(picture(_mixed[0], f"{_name}: {_lam:.0%} of a {_y[0]}, {1 - _lam:.0%} of a {_y[1]}"))
    _made = f'<div style="display:flex;flex-wrap:wrap;gap:12px">{"".join(_pictures)}</div>'
    lab.Block(_made, _made)
    return


@app.cell
def _():
    _digits, on_digits = lab.digits(), []
    _x, _test = _digits.x[:200].view(-1, 1, 8, 8), _digits.test_x.view(-1, 1, 8, 8)
    for _method in METHODS:
        _found = []
        for _seed in range(2):
            _model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
            trained(_model, _x, _digits.y[:200], _method, 1.0, _seed, steps=100, rate=0.01)
            with torch.no_grad():
                _found.append(quality(_model(_test), _digits.test_y))
        on_digits.append({"training": _method, **{k: sum(f[k] for f in _found) / 2 for k in _found[0]}})
    lab.table(on_digits, "200 training digits, α = 1, mean of two seeds, on the test images")
    return (on_digits,)


@app.cell
def _():
    lab.prose("""
    Mixing lowers the stated probabilities. Whether that brings them nearer to the truth depends on how far above it
    they were. It is no repair of calibration by itself: measure it.
    """)
    return


@app.cell
def _():
    cutmix_tried, tell_cutmix = mo.state(None, allow_self_loops=True)
    return cutmix_tried, tell_cutmix


@app.cell
def _(tell_cutmix):
    exercise_cutmix = lab.exercises.widget("cutmix", mo)
    exercise_cutmix.ask(tell_cutmix)
    return (exercise_cutmix,)


@app.cell
def _(exercise_cutmix, cutmix_tried):
    exercise_cutmix.result(cutmix_tried())
    return


@app.cell
def _():
    mixup_tried, tell_mixup = mo.state(None, allow_self_loops=True)
    return mixup_tried, tell_mixup


@app.cell
def _(tell_mixup):
    exercise_mixup = lab.exercises.widget("mixup", mo)
    exercise_mixup.ask(tell_mixup)
    return (exercise_mixup,)


@app.cell
def _(exercise_mixup, mixup_tried):
    exercise_mixup.result(mixup_tried())
    return


@app.cell
def _():
    graded, grade = mo.state(None, allow_self_loops=True)
    return grade, graded


@app.cell
def _():
    TARGETS = {
        "lam * hot(y_a) + hot(y_b)": lambda m: m.lam * one_hot(m.y_a, 10) + one_hot(m.y_b, 10),
        "lam * y_a + (1 - lam) * y_b": lambda m: m.lam * m.y_a + (1 - m.lam) * m.y_b,
        "hot(y_a) + hot(y_b)": lambda m: (one_hot(m.y_a, 10) + one_hot(m.y_b, 10)).float(),
        "mixed.soft(10)": lambda m: m.soft(10),
    }

    def build(target):
        """A network for the digits on one mixed batch."""
        digits, model = lab.digits(), nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        gs.initialize(model, digits.x[:64])
        x, mixed = gs.train.mixup(digits.x[:64], digits.y[:64], 1.0, generator=torch.Generator().manual_seed(3))
        model.target_of = TARGETS[target]
        return gs.Subject(model, x, TARGETS[target](mixed), cross_entropy)

    def mixed_batches(subject):
        """Mixed batches with the targets that were chosen."""
        digits, drawn = lab.digits(), torch.Generator().manual_seed(4)
        for x, y in gs.train.minibatches(digits.x, digits.y, batch_size=64, steps=100, seed=1):
            x, mixed = gs.train.mixup(x, y, 1.0, generator=drawn)
            yield x, subject.model.target_of(mixed)

    fix = lab.Fix(
        LESSON,
        """
        A mixup written in a hurry. The inputs are right, the target is not: `hot(y)` holds a 1 at the class and 0
        elsewhere. Choose a target with which `gs.check` finds nothing above a note.
        """.strip(),
        build,
        {"target": list(TARGETS)},
        {"target": "Target"},
        train=lab.on_digits(batches=mixed_batches),
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

mix = gs.train.Mixer(mixup=0.2, cutmix=1.0)                # one of the two for every batch
x, target = mix(torch.randn(8, 3, 16, 16), torch.arange(8))
loss = gs.train.mixed_loss(torch.nn.functional.cross_entropy)(torch.randn(8, 10), target)
""",
    )
    lab.stack(take_home)
    return (take_home,)


@app.cell
def _():
    lab.questions(
        {
            "Why may one compute the loss to both targets instead of mixing the targets?": r"""
            Cross-entropy is linear in the target, so both are the same number. For a squared error they differ by a
            constant that does not depend on the network, so the gradients agree. For a loss that is not linear in the
            target in this sense they differ.""",
            "The training accuracy under mixup is 60 %. Is the network bad?": """
            It cannot be judged so. Most training inputs belong to two classes, and one guess can only win the larger
            share. Judge on unmixed samples; `gs.train.mixed_accuracy` counts each class with its share.""",
            "What happens if the inputs are mixed and the target stays that of the first sample?": """
            For shares symmetric around 1/2 the network is told the wrong class as often as the right one, for inputs
            that are mostly the other sample. It learns that no input is certain. `gs.check` sees nothing wrong with
            such targets: they are valid classes. That is why the library returns inputs and targets together.""",
            "Why count the share of CutMix after the box is cut off at the border?": """
            The box is drawn around a random pixel, so a part of it often lies outside. The share as drawn would claim
            more of the second image than there is.""",
            "A calibration error of 0.02 on 100 samples: is it small?": """
            It cannot be told: the estimate is biased upwards where bins hold few samples, and scatters. Compare models
            on the same samples and bins, with enough of both.""",
        }
    )
    return


@app.cell
def _():
    lab.prose("""
    *Sources: Zhang, Cisse, Dauphin & Lopez-Paz 2018 (mixup); Yun and others 2019 (CutMix); Thulasidasan and others 2019
    (mixup and calibration); Guo, Pleiss, Sun & Weinberger 2017 (calibration).*
    """)
    return


if __name__ == "__main__":
    app.run()
