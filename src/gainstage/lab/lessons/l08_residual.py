# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Residual networks and transformers: a stream must not grow with the number of its branches."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="8. Residual networks and transformers · gainstage lab")

with app.setup:
    from math import log, sqrt

    import marimo as mo
    import torch
    from torch import nn
    from torch.nn import functional as F

    import gainstage as gs
    from gainstage import lab

    LESSON = lab.lesson("l08_residual")
    VOCABULARY, TOKENS, WIDTH = 16, 8, 64
    LECUN = 1 / sqrt(WIDTH)
    LAST = {"like the others": 1.0, "half as large": 0.5, "1/√(2L) as large": None, "zero": 0.0}


@app.cell
def _():
    lab.title(LESSON)
    return


@app.cell
def _():
    lab.prose(r"""
    A residual network does not replace its signal, it *adds* to it: $x \leftarrow x + f(x)$. The sum that runs through
    is
    the **stream**, each $f$ is a **branch**. A transformer of $L$ blocks has $2L$ branches, one for attention and one
    for
    the two-layer network (MLP) in each block. The identity path lets gradients through any depth, so the question is no
    longer what survives, but how much is added.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The derivation

    Let $q$ be the mean square of the stream. The last weight of a branch is random with mean 0, so that stream and
    branch are uncorrelated at the start, and mean squares add:

    $$q_{l+1} = q_l + v_l$$

    - **No normalization.** A branch that keeps levels returns $v_l = a\,q_l$. Then $q_N = (1 + a)^N q_0$: exponential
      in
      the number $N$ of branches.
    - **Normalization before the branch** (*pre-norm*). The branch always sees mean square 1, and returns the same $v$
      whatever the stream is: $q_N = q_0 + N v$. Linear.
    - **Normalization after the sum** (*post-norm*, the first transformer). The stream is put back to mean square 1
      every
      time; the price is that the identity path is rescaled at every block, and with it the gradient.

    Now multiply the last weight of every branch by $1/\sqrt N$. Then every branch adds $v / N$, and all together
    $q_N = q_0 + v$, **whatever the depth**; without normalization $(1 + a/N)^N < e^a$. With $N = 2L$ this is GPT-2's
    $1/\sqrt{2L}$. Starting the last weight at **zero** goes further: every block is the identity at first, and grows
    its branch while it learns. """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The code

    A small transformer, complete. Its stream can be watched by hand, by calling the branches one after another:
    """)
    return


@app.class_definition
class Block(nn.Module):
    """Attention and a two-layer network, each a branch; `norm` says where the normalization stands."""

    def __init__(self, width, norm):
        super().__init__()
        self.norm = norm
        self.norms = nn.ModuleList(nn.Identity() if norm == "none" else nn.LayerNorm(width) for _ in range(2))
        self.qkv, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def attend(self, x):
        """Each token gathers from those before it."""
        b, t, d = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, 4, d // 4).permute(2, 0, 3, 1, 4)
        gathered = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.mix(gathered.transpose(1, 2).reshape(b, t, d))

    def think(self, x):
        """Each token by itself."""
        return self.down(F.gelu(self.up(x)))

    def forward(self, x):
        """The stream after both branches."""
        for norm, branch in zip(self.norms, (self.attend, self.think), strict=True):
            x = norm(x + branch(x)) if self.norm == "after (post-norm)" else x + branch(norm(x))
        return x


@app.class_definition
class Transformer(nn.Module):
    """Tokens in, scores of the tokens out."""

    def __init__(self, blocks, norm, width=WIDTH):
        super().__init__()
        self.token, self.place = nn.Embedding(VOCABULARY, width), nn.Embedding(TOKENS, width)
        self.blocks = nn.ModuleList(Block(width, norm) for _ in range(blocks))
        self.norm = nn.LayerNorm(width) if norm == "before (pre-norm)" else nn.Identity()
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, tokens):
        """Scores `[samples, tokens, vocabulary]`."""
        x = self.token(tokens) + self.place(torch.arange(TOKENS))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


@app.function
def transformer(
    blocks, norm="before (pre-norm)", std=LECUN, embedding=1.0, last="like the others", head=0.02, width=WIDTH
):
    """The model; `std` of all matrices but the last of each branch, `embedding` of token and place together."""
    model, factor = Transformer(blocks, norm, width), LAST[last]
    factor = 1 / sqrt(2 * blocks) if factor is None else factor
    for name, parameter in model.named_parameters():
        part, role = name.split(".")[0], name.split(".")[-2]
        if "norm" in name or name.endswith("bias"):
            law = gs.init.ones() if name.endswith("weight") else gs.init.zeros()
        elif part in ("token", "place"):
            law = gs.init.normal(std=embedding / sqrt(2))
        elif part == "head":
            law = gs.init.normal(std=head)
        else:
            law = gs.init.normal(std=std * (factor if role in ("mix", "down") else 1))
        gs.init.fill_(parameter, law, seed=0, name=name)
    return model


@app.function
@torch.no_grad()
def stream_by_hand(model, tokens):
    """Mean square of the stream after every branch, without normalization after the sum."""
    x, levels = model.token(tokens) + model.place(torch.arange(TOKENS)), []
    for block in model.blocks:
        for norm, branch in zip(block.norms, (block.attend, block.think), strict=True):
            x = x + branch(norm(x))
            levels.append(x.square().mean().item())
    return levels


@app.function
def stream(model, tokens):
    """The same by the library, for any model that runs: measured, by theory, and the tape."""
    tape = gs.record(model, tokens, target=said_before(tokens), loss=token_loss)
    branches = gs.signal.branches(gs.signal.Graph(tape))
    theory = gs.theory.predict(tape, model)
    levels = [tape.sites[branch.add].forward.mean_square for branch in branches]
    return levels, [theory[branch.add][0] ** 2 for branch in branches], tape


@app.function
def said_before(tokens):
    """The task: at every place, say the token of the place before."""
    return torch.cat([tokens[:, :1], tokens[:, :-1]], 1)


@app.function
def token_loss(scores, tokens):
    """Cross-entropy over all places."""
    return F.cross_entropy(scores.flatten(0, 1), tokens.flatten())


@app.cell
def _():
    lab.code(Block, stream_by_hand)
    return


@app.cell
def _():
    lab.prose(r"""
    The library finds the branches of any model by itself, from one recorded pass:

    ```python
    tape = gs.record(model, tokens)
    branches = gs.signal.branches(gs.signal.Graph(tape))
    levels = [tape.sites[b.add].forward.mean_square for b in branches]
    ```
    """)
    return


@app.cell
def _():
    tokens = (lab.draw(gs.init.uniform(0.0, 1.0), 256, TOKENS, seed=1) * VOCABULARY).long()
    _model = transformer(6)
    _by_hand, (_levels, _, _) = stream_by_hand(_model, tokens[:16]), stream(_model, tokens[:16])
    streams_differ_by = max(abs(a - b) / b for a, b in zip(_by_hand, _levels, strict=True))
    lab.readout(
        branches_found=len(_levels),
        last_level_by_hand=_by_hand[-1],
        last_level_by_library=_levels[-1],
        largest_relative_difference=streams_differ_by,
    )
    return streams_differ_by, tokens


@app.cell
def _():
    committed, commit = mo.state(None, allow_self_loops=True)
    return commit, committed


@app.cell
def _():
    BLOCKS = 12
    OPTIONS = [
        "It stays: less than twice as large",
        "It grows with the number of branches: 3 to 100 times",
        "It multiplies at every branch: more than 1000 times",
    ]
    prediction = lab.Predict(
        LESSON,
        rf"""
        A pre-norm transformer of {BLOCKS} blocks, all weights drawn with $1/\sqrt{{n}}$, no scaling of the last
        weights.
        By which factor does the mean square of its stream grow from the first branch to the last?
        """.strip(),
        OPTIONS,
    )
    return BLOCKS, OPTIONS, prediction


@app.cell
def _(commit, committed, prediction):
    prediction.ask(committed, commit)
    return


@app.cell
def _(BLOCKS, OPTIONS, tokens):
    growth = {}
    for _norm in ("before (pre-norm)", "none"):
        _levels, _, _ = stream(transformer(BLOCKS, _norm), tokens[:16])
        growth[_norm] = _levels[-1] / _levels[0]
    _grew = growth["before (pre-norm)"]
    truth = OPTIONS[0] if _grew < 2 else OPTIONS[1] if _grew < 1000 else OPTIONS[2]
    return growth, truth


@app.cell
def _(BLOCKS, committed, growth, prediction, truth):
    prediction.reveal(
        committed(),
        truth,
        f"""
        {growth["before (pre-norm)"]:.3g} times over {2 * BLOCKS} branches. Behind a normalization every branch adds
        about the same amount, so the stream grows like a sum and not like a product. The same weights without any
        normalization: {growth["none"]:.2g} times.
        """,
    )
    return


@app.cell
def _():
    lab.prose(rf"""
    ## Measure it: the stream

    Width {WIDTH}, so that {LECUN:g} is $1/\sqrt{{\text{{width}}}}$, the scale that keeps levels. The constant 0.02 of
    BERT
    and GPT-2 is another number at every width: it is $1/\sqrt{{n}}$ at $n = {1 / 0.02**2:.0f}$, and small below that.
    The
    theory is `gs.theory.predict`: mean squares add, and every weight multiplies by what it is. It counts attention at
    the level of the values that it averages; the average of several different ones is smaller.
    """)
    return


@app.cell
def _():
    blocks = lab.slider("blocks", 2, 24, 12, label="Blocks (two branches each)", step=2)
    std = lab.slider(
        "std", 0, 1, LECUN, label="Standard deviation of the weights", steps=[0.01, 0.02, 0.05, LECUN, 0.2]
    )
    embedding = lab.slider(
        "embedding", 0, 1, 1, label="Standard deviation of the embedding", steps=[0.02, 0.1, 0.5, 1, 2]
    )
    norm = lab.dropdown(
        "norm", ["before (pre-norm)", "after (post-norm)", "none"], "before (pre-norm)", label="Normalization"
    )
    last = lab.dropdown("last", list(LAST), "like the others", label="Last weight of each branch")
    lab.panel(blocks, std, embedding, norm, last)
    return blocks, embedding, last, norm, std


@app.cell
def _(blocks, embedding, last, norm, std, tokens):
    _model = transformer(blocks.value, norm.value, std.value, embedding.value, last.value)
    levels, levels_by_theory, _tape = stream(_model, tokens[:16])
    at_start = embedding.value**2
    to_the_embedding = _tape["token"].backward.rms
    return at_start, levels, levels_by_theory, to_the_embedding


@app.cell
def _(at_start, committed, levels, levels_by_theory, prediction, to_the_embedding):
    prediction.gate(
        committed(),
        lab.readout(
            stream_after_the_last_branch=levels[-1],
            the_same_by_theory=levels_by_theory[-1],
            growth_first_to_last_branch=levels[-1] / levels[0],
            embedding_is_a_share_of=at_start / levels[-1],
            gradient_at_the_embedding=to_the_embedding,
        ),
    )
    return


@app.cell
def _(committed, levels, levels_by_theory, prediction):
    prediction.gate(
        committed(),
        lab.lines(
            [
                {"branch": i + 1, "mean square of the stream": v, "what": what}
                for what, series in (("measured", levels), ("theory", levels_by_theory))
                for i, v in enumerate(series)
            ],
            "branch",
            "mean square of the stream",
            by="what",
            says="The stream after every branch",
            log_y=True,
        ),
    )
    return


@app.cell
def _(committed, prediction):
    prediction.gate(
        committed(),
        lab.prose(r"""
    Things to find: without normalization the curve is a straight line on this logarithmic axis, that is, exponential;
    $1/\sqrt{2L}$ makes it flat at any number of blocks; with pre-norm and a *small* embedding the branches soon
    outweigh the tokens, so that the share of the embedding is small, while with post-norm the size of the embedding is
    forgotten after the first branch. A small embedding under pre-norm also gets a *large* gradient: the first
    normalization divides by the size of its input, and so does its derivative.
    """),
    )
    return


@app.cell
def _():
    lab.prose(r"""
    ## Zero-init branches: who learns first

    With a last weight of zero, nothing flows back through the branch into its other weights. Their gradient is exactly
    zero in the first step, and no longer in the second, because by then the last weight has moved.
    """)
    return


@app.cell
def _(tokens):
    def _gradients(model):
        _, _, tape = stream(model, tokens[:32])
        return [tape.parameter(f"blocks.0.{name}.weight").backward.rms for name in ("up", "down")]

    zero_init = []
    for _last in ("1/√(2L) as large", "zero"):
        _model = transformer(4, last=_last)
        _before = _gradients(_model)
        gs.train.fit(
            _model,
            [(tokens[:32], said_before(tokens[:32]))],
            loss=token_loss,
            optimizer=torch.optim.Adam(_model.parameters(), lr=1e-3),
        )
        _after = _gradients(_model)
        zero_init.append(
            {
                "last weight": _last,
                "first weight, step 1": _before[0],
                "last weight, step 1": _before[1],
                "first weight, step 2": _after[0],
            }
        )
    lab.table(zero_init, "Gradient (root mean square) in the MLP branch of block 0")
    return (zero_init,)


@app.cell
def _():
    lab.prose(rf"""
    ## The head

    The last normalization hands the head mean square 1, so its scores have variance $s^2 = n\,\sigma^2$. Random scores
    cost more than guessing: the expected loss is at most $\ln V + s^2/2$, and near that while $s$ is small. Guessing
    among {VOCABULARY} tokens costs $\ln {VOCABULARY} = {log(VOCABULARY):.4f}$.
    """)
    return


@app.cell
def _(tokens):
    heads = []
    for _std in (0.02, 0.05, LECUN, 0.5, 1.0):
        _, _, _tape = stream(transformer(2, last="1/√(2L) as large", head=_std), tokens)
        heads.append(
            {
                "std of the head": _std,
                "loss measured": _tape.loss,
                "ln V + n·σ²/2": log(VOCABULARY) + WIDTH * _std**2 / 2,
            }
        )
    lab.table(heads, "The loss before the first step")
    return (heads,)


@app.cell
def _():
    lab.prose(r"""
    A head **tied** to the embedding has the embedding's scale: a standard deviation of 1, good for a stream, makes
    scores of variance $n$. That is why tied models start both at a small constant, or multiply between them.
    """)
    return


@app.cell
def _():
    RATES, WARM, TRAINED = [0.01, 0.03], 20, 50
    lab.prose(rf"""
    ## Warm-up

    Adam divides every gradient by its own size: its **first** step moves every weight by the learning rate, whether the
    gradient is reliable or not. For a weight of size 0.02 and a rate of 0.01 that is {0.01 / 0.02:.0%} of the weight,
    at once, everywhere. A *warm-up* raises the rate linearly over the first steps. Below: a small **post-norm**
    transformer, {TRAINED} steps of Adam on the task "say the token before", with and without {WARM} steps of warm-up,
    from the same start on the same batches (one seed).
    """)
    return RATES, TRAINED, WARM


@app.cell
def _(RATES, TRAINED, WARM, tokens):
    warm_ups = []
    for _name, _schedule in (("none", None), (f"{WARM} steps", gs.train.warmup(WARM))):
        _models = [transformer(3, "after (post-norm)", std=1 / sqrt(32), width=32) for _ in RATES]
        _runs = gs.train.fit_many(
            _models,
            tokens,
            said_before(tokens),
            loss=token_loss,
            lr=RATES,
            steps=TRAINED,
            batch_size=32,
            seeds=[0] * len(RATES),
            schedule=_schedule,
        )
        for _rate, _run in zip(RATES, _runs, strict=True):
            warm_ups.append({"warm-up": _name, "rate": _rate, "losses": _run.losses, "end": sum(_run.losses[-5:]) / 5})
    return (warm_ups,)


@app.cell
def _(warm_ups):
    lab.lines(
        [
            {"step": i, "loss (nats)": loss, "run": f"rate {row['rate']:g}, warm-up: {row['warm-up']}"}
            for row in warm_ups
            for i, loss in enumerate(row["losses"])
        ],
        "step",
        "loss (nats)",
        by="run",
        says="A post-norm transformer with and without warm-up",
        points=False,
    )
    return


@app.cell
def _(warm_ups):
    _end = {(row["rate"], row["warm-up"] != "none"): row["end"] for row in warm_ups}
    lab.prose(rf"""
    At rate 0.03 the last five steps cost {_end[0.03, False]:.3g} without warm-up and {_end[0.03, True]:.3g} with it; at
    0.01 it is {_end[0.01, False]:.3g} and {_end[0.01, True]:.3g}. Guessing costs {log(VOCABULARY):.3g}. Warm-up is not
    part of the start, but it repairs what the start leaves open: it widens the range of rates that work, most where the
    gradient is largest at first, as in post-norm networks (Xiong et al.).
    """)
    return


@app.cell
def _(tokens):
    plan = gs.plan(transformer(12), tokens[:16])
    _names = ("token.weight", "place.weight", "blocks.0.qkv.weight", "blocks.0.mix.weight", "blocks.0.up.weight")
    _names += ("blocks.11.down.weight", "head.weight")
    lab.stack(
        lab.prose("""
        ## What the library plans

        `gs.plan` reads the structure off one pass and gives every parameter a law and a reason. Some of its rows for
        the 12-block model:
        """),
        lab.table([{"parameter": n, "role": plan[n].role, "law": plan.describe(n)} for n in _names], "Rows of gs.plan"),
        lab.prose("\n".join(f"- `{n}`: {plan[n].reason}" for n in _names)),
    )
    return (plan,)


@app.cell
def _():
    residual_tried, tell_residual = mo.state(None, allow_self_loops=True)
    return residual_tried, tell_residual


@app.cell
def _(tell_residual):
    exercise_residual = lab.exercises.widget("residual", mo)
    exercise_residual.ask(tell_residual)
    return (exercise_residual,)


@app.cell
def _(exercise_residual, residual_tried):
    exercise_residual.result(residual_tried())
    return


@app.cell
def _():
    graded, grade = mo.state(None, allow_self_loops=True)
    return grade, graded


@app.cell
def _(tokens):
    def build(last, embedding):
        """A transformer of 12 blocks without normalization."""
        model = transformer(12, "none", last=last, embedding=float(embedding))
        return gs.Subject(model, tokens[:64], said_before(tokens[:64]), token_loss)

    def says_the_token_before(subject):
        """A hundred steps of Adam, then the share of places at which it says the right token."""
        model, data = subject.model, tokens[:192]
        adam = torch.optim.Adam(model.parameters(), lr=1e-3)
        batches = gs.train.minibatches(data, said_before(data), batch_size=16, steps=100, seed=1)
        run = gs.train.fit(model, batches, loss=token_loss, optimizer=adam, steps=100)
        with torch.no_grad():
            score = (model(tokens[192:]).argmax(2) == said_before(tokens[192:])).float().mean().item()
        return lab.Trained(tuple(run.losses), score, 0.5, "share of the places that are right", guess=log(VOCABULARY))

    fix = lab.Fix(
        LESSON,
        """
        A transformer of 12 blocks **without** normalization; every weight keeps its level, and the stream explodes.
        Choose a start with which `gs.check` finds nothing above a note.
        """.strip(),
        build,
        {"last": list(LAST), "embedding": ["1", "0.02"]},
        {"last": "Last weights", "embedding": "Embedding"},
        train=says_the_token_before,
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

layer = torch.nn.TransformerEncoderLayer(64, 4, batch_first=True, norm_first=True)
model = torch.nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
print(gs.initialize(model, torch.randn(8, 16, 64)))   # finds and counts the branches
""",
    )
    lab.stack(take_home)
    return (take_home,)


@app.cell
def _(growth, zero_init):
    lab.questions(
        {
            "Why do mean squares add at the start, and not levels?": r"""
            $\mathbb{E}[(x + f)^2] = \mathbb{E}[x^2] + 2\,\mathbb{E}[x f] + \mathbb{E}[f^2]$, and the middle term is 0
            because the last weight of the branch has mean 0 and is independent of $x$. After training it need not
            be.""",
            "Why is pre-norm without scaling usable at all?": rf"""
            Its growth is linear ({growth["before (pre-norm)"]:.3g} times here) and the last normalization removes it.
            What
            remains is that a late branch changes a large stream only a little: deep blocks count less and less.""",
            "Zero-init makes the first gradient of most weights zero. Why is that no vanishing gradient?": rf"""
            It lasts one step. The last weights do get a gradient ({zero_init[1]["last weight, step 1"]:.2g} at the
            start), and as soon as they have moved, the others do too ({zero_init[1]["first weight, step 2"]:.2g} in the
            second step). `gs.check` takes virtual steps before it judges.""",
            "Is 0.02 a good constant?": rf"""
            It is the scale $1/\sqrt{{n}}$ of $n = {1 / 0.02**2:.0f}$, near enough for widths of a few thousand. In a
            pre-norm network a smaller weight only means a smaller share of each branch; at width {WIDTH} without
            normalization it shrinks what passes a matrix to {sqrt(WIDTH) * 0.02:.0%} of its level.""",
            "What does 1/√(2L) assume?": r"""
            That the $2L$ branches are uncorrelated and add the same amount. Branches that all say the same would add up
            to $2L$ times one, and need $1/(2L)$.""",
        }
    )
    return


@app.cell
def _():
    lab.prose(r"""
    *Sources: Radford et al. 2019 (0.02 and $1/\sqrt{2L}$); Shoeybi et al. 2019 (the same in Megatron); Hanin & Rolnick
    2018; Zhang, Dauphin & Ma 2019 (Fixup); Goyal et al. 2017 and De & Smith 2020 (branches that start at zero); Xiong
    et
    al. 2020 (pre-norm, post-norm and warm-up).*
    """)
    return


if __name__ == "__main__":
    app.run()
