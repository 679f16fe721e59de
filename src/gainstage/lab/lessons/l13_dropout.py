# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Dropout and its variants: what is dropped must be the share that was asked for."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="13. Dropout and its variants · gainstage lab")

with app.setup:
    import marimo as mo
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torch.nn.functional import cross_entropy

    import gainstage as gs
    from gainstage import lab

    LESSON = lab.lesson("l13_dropout")
    ENTRIES = 200_000  # of the maps on which a delivered rate is counted


@app.cell
def _():
    lab.title(LESSON)
    return


@app.cell
def _():
    lab.prose(r"""
    A network with many units can learn its training data by heart: groups of units agree on signs that hold for these
    samples only. Dropout disturbs the agreement. In every training step it sets a random part of the units to 0, so no
    unit can rely on another one being there. In use nothing is dropped.

    One number says how much: the rate $p$, **the share that is dropped**. This lesson asks two things of every variant:
    does it deliver the rate, and does the layer behind it still get the right level?
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The derivation

    Draw for each entry a coin $m_i$ that is 0 with probability $p$ and 1 otherwise, and hand on

    $$y_i = \frac{m_i\,x_i}{1 - p}$$

    The division makes up for what is missing, on average over the coins:

    $$\mathbb{E}[y_i] = x_i \qquad \mathbb{E}[y_i^2] = \frac{x_i^2}{1 - p} \qquad
      \operatorname{Var}(y_i) = \frac{p}{1 - p}\,x_i^2$$

    The mean is kept; the second moment of lesson 3 grows by $1/(1 - p)$. That is noise, and it is the point.

    **DropConnect** draws coins for the *weights*: $z_j = \sum_i m_{ji} w_{ji} x_i / (1 - p)$. One unit sees the same
    mean and variance as behind a dropout,

    $$\mathbb{E}[z_j] = \sum_i w_{ji} x_i \qquad \operatorname{Var}(z_j) = \frac{p}{1 - p} \sum_i w_{ji}^2 x_i^2$$

    but two units share their coins behind a dropout, so their noise is correlated, with covariance
    $\frac{p}{1-p}\sum_i w_{ji} w_{ki} x_i^2$. With DropConnect each has coins of its own and the covariance is 0.

    **DropBlock** is for images. Neighbouring pixels say the same, so a single dropped one is no loss; it drops squares
    of $b \times b$. Squares overlap. If one can start at each place with probability $\gamma$, an entry survives only
    if none of the $b^2$ squares that would cover it was started:

    $$1 - (1 - \gamma)^{b^2} = p \qquad\Longrightarrow\qquad \gamma = 1 - (1 - p)^{1/b^2}$$

    The published formula leaves the overlap out, and starts squares only where they fit into a map of $L \times L$:
    $\gamma = \frac{p}{b^2}\,\frac{L^2}{(L - b + 1)^2}$. The fraction makes up for the places that are missing at the
    border.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The code

    By hand: dropout, DropBlock by the published formula, and DropBlock by the exact one.
    """)
    return


@app.function
def dropout_by_hand(x, p, generator):
    """Each entry is dropped on its own."""
    dropped = torch.rand(x.shape, generator=generator) < p
    return torch.where(dropped, 0.0, x / (1 - p))


@app.function
def drop_block_published(x, p, b, generator):
    """The published formula: squares start where they fit; what is kept is scaled by what was counted."""
    n, channels, size, _ = x.shape
    gamma = p / b**2 * (size / (size - b + 1)) ** 2
    starts = (torch.rand(n, channels, size - b + 1, size - b + 1, generator=generator) < gamma).float()
    kept = F.max_pool2d(F.pad(starts, [b - 1] * 4), b, stride=1) == 0
    return x * kept * kept.numel() / kept.sum()


@app.function
def drop_block_by_hand(x, p, b, generator):
    """Squares start at every place, also before the map, at the rate that covers a share p."""
    n, channels, size, _ = x.shape
    gamma = 1 - (1 - p) ** (1 / b**2)
    starts = torch.rand(n, channels, size + b - 1, size + b - 1, generator=generator) < gamma
    dropped = F.max_pool2d(starts.float(), b, stride=1) > 0
    return torch.where(dropped, 0.0, x / (1 - p))


@app.cell
def _():
    lab.code(dropout_by_hand, drop_block_published, drop_block_by_hand)
    return


@app.cell
def _():
    lab.prose(r"""
    The library has functions and layers; every one takes a generator, so that a draw can be repeated:

    ```python
    gs.nn.dropout(x, 0.5, generator=generator)
    gs.nn.DropBlock2d(0.1, block_size=7)
    gs.nn.DropConnect(nn.Linear(64, 32), 0.5, activation=torch.relu)
    ```

    With the same generator, by hand and by the library:
    """)
    return


@app.cell
def _():
    _x = lab.draw(gs.init.normal(), 8, 4, 14, 14, seed=0)

    def _apart(one, other):
        made = [f(torch.Generator().manual_seed(1)) for f in (one, other)]
        return (made[0] - made[1]).abs().max().item()

    differences = {
        "dropout": _apart(lambda g: dropout_by_hand(_x, 0.3, g), lambda g: gs.nn.dropout(_x, 0.3, generator=g)),
        "drop_block": _apart(
            lambda g: drop_block_by_hand(_x, 0.3, 5, g), lambda g: gs.nn.drop_block(_x, 0.3, 5, generator=g)
        ),
        "rate_of_starts": abs(gs.nn.seed_rate(0.3, (5, 5)) - (1 - (1 - 0.3) ** (1 / 25))),
    }
    lab.readout(**{f"{name}_by_hand_against_library": value for name, value in differences.items()})
    return (differences,)


@app.cell
def _():
    lab.prose(rf"""
    ## Measure it: asked and delivered

    Maps of ones are sent through both kinds of DropBlock, at least {ENTRIES:,} entries of each, and the zeros are
    counted. The formula for the published one is exact too: at each place it counts how many squares can cover it.
    """)
    return


@app.cell
def _():
    rate = lab.slider("rate", 0.05, 0.9, 0.3, step=0.05, label="Rate asked for")
    block = lab.slider("block", 1, 9, 3, label="Edge of a block", step=2)
    size = lab.slider("size", 10, 28, 14, label="Edge of the map", steps=[10, 14, 20, 28])
    seed = lab.slider("seed", 0, 20, 0, label="Seed")
    lab.panel(rate, block, size, seed)
    return block, rate, seed, size


@app.function
def published_in_theory(p, b, size):
    """The rate that the published formula delivers at every place of the map: exact, [size, size]."""
    gamma = min(1.0, p / b**2 * (size / (size - b + 1)) ** 2)
    covering = torch.tensor([min(i, size - b) - max(0, i - b + 1) + 1.0 for i in range(size)])
    return 1 - (1 - gamma) ** (covering[:, None] * covering)


@app.function
def delivered(p, b, size, seed=0):
    """The share of zeros at every place, [size, size], by the published formula and by the library."""
    ones = torch.ones(-(-ENTRIES // (16 * size**2)), 16, size, size)
    random = torch.Generator().manual_seed(seed)
    return {
        "published": (drop_block_published(ones, p, b, random) == 0).float().mean((0, 1)),
        "gainstage": (gs.nn.drop_block(ones, p, b, generator=random) == 0).float().mean((0, 1)),
    }


@app.cell
def _(block, rate, seed, size):
    shares = delivered(rate.value, block.value, size.value, seed.value)
    predicted = published_in_theory(rate.value, block.value, size.value)
    lab.readout(
        asked=rate.value,
        published_formula_delivers=shares["published"].mean().item(),
        by_its_theory=predicted.mean().item(),
        gainstage_delivers=shares["gainstage"].mean().item(),
    )
    return predicted, shares


@app.cell
def _(block, rate, size):
    _at = [(i / 20, published_in_theory(i / 20, block.value, size.value).mean().item()) for i in range(1, 19)]
    asked_and_delivered = [{"asked": p, "delivered": d, "formula": "published"} for p, d in _at]
    asked_and_delivered += [
        {
            "asked": p,
            "delivered": 1 - (1 - gs.nn.seed_rate(p, (block.value,) * 2)) ** block.value**2,
            "formula": "gainstage",
        }
        for p, _ in _at
    ]
    lab.lines(
        asked_and_delivered,
        "asked",
        "delivered",
        by="formula",
        says=f"Blocks of {block.value} on maps of {size.value}, by theory; you asked for {rate.value:g}",
    )
    return (asked_and_delivered,)


@app.cell
def _(shares, size):
    def _profile(share):
        return share[size.value // 2].tolist()  # the middle row: from border to border

    lab.lines(
        [
            {"place in the middle row": i + 1, "share dropped": value, "formula": name}
            for name, share in shares.items()
            for i, value in enumerate(_profile(share))
        ],
        "place in the middle row",
        "share dropped",
        by="formula",
        says="Where it is dropped: measured from border to border",
        height=220,
    )
    return


@app.cell
def _(predicted, shares):
    _exact = shares["gainstage"]
    lab.prose(rf"""
    By the published formula a corner is dropped with probability {predicted[0, 0]:.3f} and the centre with
    {predicted[len(predicted) // 2, len(predicted) // 2]:.3f}: few squares reach the corner. With the exact one it is
    the same everywhere; measured, {_exact[0, 0]:.3f} and
    {_exact[len(_exact) // 2, len(_exact) // 2]:.3f}. With blocks of edge 1 both are plain dropout.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The variants, measured

    What goes in is normal with mean 0 and mean square 1, $512 \times 8 \times 10 \times 10$ numbers. *Dropped
    neighbours* is the share of the dropped entries whose right neighbour is dropped too: $p$ where coins are single,
    more where they are shared.
    """)
    return


@app.cell
def _():
    VARIANTS = {
        "Dropout": (gs.nn.Dropout(0.3), "entries"),
        "SpatialDropout2d": (gs.nn.SpatialDropout2d(0.3), "whole channels of a sample"),
        "DropBlock2d": (gs.nn.DropBlock2d(0.3, 5), "squares of a channel"),
        "LockedDropout": (gs.nn.LockedDropout(0.3, batch_first=True), "features, the same at every position"),
        "DropPath": (gs.nn.DropPath(0.3), "whole samples (of a residual branch)"),
        "AlphaDropout": (gs.nn.AlphaDropout(0.3), "entries, set to SELU's lower limit"),
    }
    _x, variants = lab.draw(gs.init.normal(), 512, 8, 10, 10, seed=5), []

    def _drawn(layer, x):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            made = layer(x.flatten(2).movedim(1, 2)) if layer is VARIANTS["LockedDropout"][0] else layer(x)
        return made.movedim(1, 2).reshape(x.shape) if made.dim() == 3 else made

    for _name, (_layer, _what) in VARIANTS.items():
        _y = _drawn(_layer, _x)
        _gone = _drawn(_layer, torch.ones_like(_x)) <= 0  # the same coins, on ones
        _pairs = _gone[..., :-1] & _gone[..., 1:]
        variants.append(
            {
                "layer": _name,
                "drops": _what,
                "asked": _layer.p,
                "delivered": _gone.float().mean().item(),
                "dropped neighbours": (_pairs.float().mean() / _gone[..., :-1].float().mean()).item(),
                "mean": _y.mean().item(),
                "mean square": _y.square().mean().item(),
                "theory: 1/(1-p)": 1.0 if _name == "AlphaDropout" else 1 / (1 - _layer.p),
            }
        )
    lab.table(variants, "Asked and delivered; coins that are shared scatter more from draw to draw")
    return (variants,)


@app.cell
def _():
    lab.prose(r"""
    AlphaDropout is the one that keeps the mean square: it sets dropped entries not to 0 but to the lowest value of
    SELU (lesson 6), and rescales, so that the fixed point of lesson 6 survives.

    **Dropout against DropConnect**, in front of and inside one linear layer of 40 inputs and 2 units: many draws
    of the coins for one sample, beside the theory.
    """)
    return


@app.cell
def _():
    _layer, _x, _draws, _p = nn.Linear(40, 2, bias=False), lab.draw(gs.init.normal(), 1, 40, seed=2), 20_000, 0.5
    gs.init.fill_(_layer.weight, gs.init.lecun_normal(), seed=6, name="weight")
    _random = torch.Generator().manual_seed(2)
    with torch.no_grad():
        _in_front = _layer(gs.nn.dropout(_x.expand(_draws, -1), _p, generator=_random))
        _inside = gs.nn.drop_connect(_layer, _x.expand(_draws, -1), _p, generator=_random)
        _mean, _variance = gs.nn.drop_connect_moments(_layer, _x, _p)
        _shared = _p / (1 - _p) * (_layer.weight[0] * _layer.weight[1] * _x[0] ** 2).sum().item()
        connect = [
            {
                "what": name,
                "mean of unit 1": z[:, 0].mean().item(),
                "theory": _mean[0, 0].item(),
                "its variance": z[:, 0].var().item(),
                "theory ": _variance[0, 0].item(),
                "covariance of the two units": torch.cov(z.T)[0, 1].item(),
                "theory  ": covariance,
            }
            for name, z, covariance in (("dropout in front", _in_front, _shared), ("DropConnect", _inside, 0.0))
        ]
        _relu = gs.nn.expected_activation(torch.relu, _mean, _variance)[0, 0].item()
        behind_relu = {
            "average_over_draws": _inside.relu().mean(0)[0].item(),
            "gainstage_in_evaluation": _relu,
            "relu_of_the_mean": _mean.relu()[0, 0].item(),
        }
    lab.stack(
        lab.table(connect, f"One sample, {_draws:,} draws of the coins"),
        lab.prose(
            """
            In use nothing is dropped. For the sum $z$ that is right: its mean is the plain layer. Behind an activation
            it is not, as $E[\\mathrm{ReLU}(z)]$ is not $\\mathrm{ReLU}(E[z])$. The library's DropConnect can take the
            expectation over the coins (with $z$ as normal), as its inventors did; here for unit 1:
            """
        ),
        lab.readout(**behind_relu),
    )
    return behind_relu, connect


@app.cell
def _():
    committed, commit = mo.state(None, allow_self_loops=True)
    return commit, committed


@app.cell
def _():
    ASKED, EDGE, MAP = 0.5, 7, 14
    OPTIONS = ["Between 0.45 and 0.55", "More than 0.55", "Less than 0.45"]
    prediction = lab.Predict(
        LESSON,
        f"""
        DropBlock with the published formula is asked for a rate of {ASKED:g}, with blocks of {EDGE} on maps of {MAP}.
        It corrects for the border. What share of the entries is dropped?
        """.strip(),
        OPTIONS,
    )
    return ASKED, EDGE, MAP, OPTIONS, prediction


@app.cell
def _(commit, committed, prediction):
    prediction.ask(committed, commit)
    return


@app.cell
def _(ASKED, EDGE, MAP, OPTIONS):
    share = delivered(ASKED, EDGE, MAP)["published"].mean().item()
    truth = OPTIONS[1] if share > 0.55 else OPTIONS[2] if share < 0.45 else OPTIONS[0]
    return share, truth


@app.cell
def _(ASKED, EDGE, MAP, committed, prediction, share, truth):
    prediction.reveal(
        committed(),
        truth,
        rf"""
        It dropped {share:.3f}; the exact value is {published_in_theory(ASKED, EDGE, MAP).mean():.3f}. The border is
        corrected for: the squares that are started have, all together, the area of {ASKED:g} of the map. But they lie
        on top of each other, and what is covered twice is dropped once. A rate that was found with one implementation
        means something else in the next one. The exact formula needs the logarithm only:
        $\gamma = {gs.nn.seed_rate(ASKED, (EDGE, EDGE)):.5f}$ here.
        """,
    )
    return


@app.class_definition
class Digits(nn.Module):
    """Two hidden layers, each followed by a dropout that is written in one of three ways."""

    def __init__(self, rate, way):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)
        self.rate, self.way, self.layer = rate, way, gs.nn.Dropout(rate)

    def drop(self, x):
        """Drops, in the chosen way."""
        if self.way == "F.dropout(h, p)":
            return F.dropout(x, self.rate)
        return self.layer(x) if self.way == "gs.nn.Dropout(p)(h)" else F.dropout(x, self.rate, self.training)

    def forward(self, x):
        """Scores of the ten digits."""
        return self.head(self.drop(F.relu(self.second(self.drop(F.relu(self.first(x)))))))


@app.cell
def _():
    graded, grade = mo.state(None, allow_self_loops=True)
    return grade, graded


@app.cell
def _():
    def build(rate, way):
        """The network with its data and loss."""
        digits, model = lab.digits(), Digits(float(rate), way)
        gs.initialize(model, digits.x[:32])
        return gs.Subject(model, digits.x[:128], digits.y[:128], cross_entropy)

    fix = lab.Fix(
        LESSON,
        """
        Ported from old TensorFlow code, where the number was the share to *keep*. It learns badly, and the same image
        gets another answer every time, also in use. Two things are wrong. Choose a rate and a way to write it with
        which `gs.check` finds nothing above a note.
        """.strip(),
        build,
        {
            "rate": ["0.9", "0.1"],
            "way": ["F.dropout(h, p)", "F.dropout(h, p, self.training)", "gs.nn.Dropout(p)(h)"],
        },
        {"rate": "Rate p", "way": "Written as"},
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

drop = gs.nn.DropBlock2d(0.1, block_size=7)   # a tenth of every place of the map, whatever its size
print((drop(torch.ones(64, 16, 14, 14)) == 0).float().mean())
""",
    )
    lab.stack(take_home)
    return (take_home,)


@app.cell
def _():
    lab.questions(
        {
            "Why divide by 1 - p in training, and not multiply by 1 - p in use?": """
            Both give the layer behind the same mean in training and in use. Dividing in training leaves the network in
            use as it is written, with nothing to remember.""",
            "Dropout keeps the mean. Why may a batch normalization behind it still misbehave?": r"""
            It stores a variance, and dropout raises the second moment by $1/(1 - p)$ in training only. In use the
            stored variance is too large, and every output too small (Li and others 2019). Put the dropout behind the
            last normalization.""",
            "DropBlock divides by 1 - p. Others divide by the share that was kept in this draw. Which is right?": """
            Dividing by what was asked makes the mean over draws exact at every place. Dividing by what happened to be
            kept fixes the level of each batch, but ties all samples of it together, and fails where nothing is kept.
            If the delivered rate is not the asked one, only the second keeps the level, and hides the error.""",
            "When would you drop blocks, or channels, instead of entries?": """
            Where neighbours carry the same information: a dropped pixel is readable from the next one, so nothing is
            learned from its absence. The unit of dropping should be the unit of information.""",
            "A network does not reach its training accuracy with dropout at 0.5. Is something wrong?": """
            Not yet: the training accuracy is measured with the noise on. Compare in evaluation mode. If it is low there
            too, the network is too small for so much noise, or it had nothing to overfit.""",
        }
    )
    return


@app.cell
def _():
    lab.prose("""
    *Sources: Srivastava and others 2014 (dropout); Wan and others 2013 (DropConnect); Ghiasi, Lin & Le 2018
    (DropBlock); Tompson and others 2015 (channels); Huang and others 2016 (paths); Klambauer and others 2017 (alpha).*
    """)
    return


if __name__ == "__main__":
    app.run()
