# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Ensembles: members must err differently, or averaging gains nothing."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="16. Ensembles · gainstage lab")

with app.setup:
    from math import comb

    import marimo as mo
    import torch
    from sklearn.linear_model import LogisticRegression
    from torch import nn
    from torch.nn.functional import cross_entropy, one_hot

    import gainstage as gs
    from gainstage import lab

    LESSON = lab.lesson("l16_ensembles")
    SAMPLES, MORE, MOST, STEPS = 200, 600, 12, 80  # training images, those for stacking, members, steps
    SOURCES = {
        "nothing": {"start": False, "order": False, "sample": False},
        "order of the batches": {"start": False, "order": True, "sample": False},
        "start and order": {"start": True, "order": True, "sample": False},
        "start, order and sample (bagging)": {"start": True, "order": True, "sample": True},
    }


@app.cell
def _():
    lab.title(LESSON)
    return


@app.cell
def _():
    lab.prose(r"""
    Train the same network several times, ask all of them, and combine the answers: that is an ensemble. It is the
    simplest way to a better and a better calibrated answer, and it costs as many times as much as it has members. This
    lesson shows what it lives on: not on the quality of the members alone, but on their *differences*.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The derivation: what averaging gains

    $K$ members answer $f_1, \dots, f_K$ about a sample whose truth is $y$. Let $\bar f = \frac1K \sum_k f_k$ be their
    average. Write $f_k - y = (\bar f - y) + (f_k - \bar f)$, square it and average over $k$. The mixed term is gone,
    because $\sum_k (f_k - \bar f) = 0$, and what remains is

    $$ (\bar f - y)^2 = \frac1K \sum_k (f_k - y)^2 - \frac1K \sum_k (f_k - \bar f)^2 $$

    **Error of the average = average error of the members − their spread.** This holds exactly, on every sample, without
    any assumption. The average is never worse than the members are on average, and it is better by just as much as they
    differ. For probabilities, the squared error summed over the classes is the *Brier score*.

    How far does it go? Let the members' errors have variance $\sigma^2$ each, and correlation $\rho$ between any two.
    Then

    $$ \operatorname{Var}(\bar f) = \rho\,\sigma^2 + \frac{1 - \rho}{K}\,\sigma^2 $$

    More members make the second term small. The first stays: what all of them get wrong together, nobody corrects.
    """)
    return


@app.cell
def _(majority):
    lab.prose(rf"""
    Votes work alike. If each of $K$ members is right with probability $p > 1/2$, *independently*, then most of them are
    right with probability $\sum_{{k > K/2}} \binom{{K}}{{k}} p^k (1-p)^{{K-k}}$. For $K = 11$ and $p = 0.7$ that is
    {majority:.3f}. Real members are not independent, for they learned from the same images; below you see how much
    is left of it.
    """)
    return


@app.cell
def _():
    majority = sum(comb(11, k) * 0.7**k * 0.3 ** (11 - k) for k in range(6, 12))
    return (majority,)


@app.cell
def _():
    lab.prose(r"""
    ## The code

    Two ways to combine, from scratch. `outputs` holds what every member says: `[members, samples, classes]`.
    """)
    return


@app.function
def average_by_hand(outputs):
    """Logarithm of the mean probability of every class."""
    return outputs.double().softmax(2).mean(0).log()


@app.function
def vote_by_hand(outputs):
    """The class with most votes; among equals the one of larger mean probability."""
    ballots = one_hot(outputs.argmax(2), outputs.shape[2]).sum(0)
    sure = outputs.double().softmax(2).mean(0)
    return (ballots + 0.5 * sure).argmax(1)  # 0.5 * sure is below 1 vote


@app.cell
def _():
    lab.code(average_by_hand, vote_by_hand)
    return


@app.cell
def _():
    lab.prose(r"""
    The library trains members that are alike as *one* program, and asks them in one pass:

    ```python
    ensemble = gs.train.Ensemble.make(factory, 5)   # factory(seed): one member
    ensemble.fit(x, y, loss=loss, lr=0.01, steps=80, batch_size=32, bootstrap=True)
    ensemble.predict(x)      # averaging: gs.train.combine(ensemble.outputs(x))
    ensemble.vote(x)         # voting: gs.train.vote(ensemble.outputs(x))
    gs.train.disagreement(ensemble.outputs(x))      # diversity, pair by pair
    gs.train.Stacking(factory, 5).fit(x, y, ...)    # stacking: below
    ```

    Below, both versions are run, and the identity of the derivation is tested on the Brier score.
    """)
    return


@app.cell
def _():
    lab.prose(rf"""
    ## Measure it

    Up to {MOST} small networks, each trained on {SAMPLES} images of digits for {STEPS} steps. *What differs* says what
    distinguishes the members: nothing; the order in which they see the images; also the weights they start with; or
    also the images, of which each member then gets {SAMPLES} drawn with replacement (*bagging*).
    """)
    return


@app.function
def member(seed, width=8):
    """One small network."""
    model = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
    gs.initialize(model, lab.digits().x[:32], seed=seed)
    return model


@app.function
def answers(source, width, seed=0):
    """What every member says about the test images, `[members, samples, classes]`."""
    digits, differ, own = lab.digits(), SOURCES[source], range(1000 * seed, 1000 * seed + MOST)
    seeds = [k if differ["order"] else own[0] for k in own]
    models = [member(k if differ["start"] else own[0], width) for k in own]
    rows = None
    if differ["sample"]:
        drawn = [lab.draw(gs.init.uniform(0.0, SAMPLES), SAMPLES, seed=k).long() for k in own]
        rows = [each.clamp(max=SAMPLES - 1) for each in drawn]
    x, y = digits.x[:SAMPLES], digits.y[:SAMPLES]
    gs.train.fit_many(models, x, y, loss=cross_entropy, lr=0.01, steps=STEPS, batch_size=32, seeds=seeds, rows=rows)
    return gs.train.predict_many(models, digits.test_x)


@app.function
def right(scores):
    """Share of the test images that are named right, by scores `[samples, classes]` or by classes `[samples]`."""
    named = scores if scores.dim() == 1 else scores.argmax(1)
    return (named == lab.digits().test_y).double().mean().item()


@app.cell
def _():
    committed, commit = mo.state(None, allow_self_loops=True)
    return commit, committed


@app.cell
def _():
    OPTIONS = [
        "Like a member on average",
        "Between that and the best member",
        "Better than the best member",
    ]
    prediction = lab.Predict(
        LESSON,
        f"""
        {MOST} members of width 8, each trained on its own bootstrap sample. Their probabilities are averaged. How good
        is the average on the test images?
        """.strip(),
        OPTIONS,
    )
    return OPTIONS, prediction


@app.cell
def _(commit, committed, prediction):
    prediction.ask(committed, commit)
    return


@app.cell
def _(OPTIONS):
    _said = answers("start, order and sample (bagging)", 8)
    bagged = [right(own) for own in _said]
    together = right(gs.train.combine(_said))
    _mean = sum(bagged) / len(bagged)
    truth = OPTIONS[2 if together > max(bagged) else 1 if together > (_mean + max(bagged)) / 2 else 0]
    return bagged, together, truth


@app.cell
def _(bagged, committed, prediction, together, truth):
    prediction.reveal(
        committed(),
        truth,
        rf"""
        The members are right on {sum(bagged) / len(bagged):.3f} of the images on average, the best of them on
        {max(bagged):.3f}, the average of all on {together:.3f}. It is the *answers* that are averaged, not the
        accuracies: where one member errs, the others mostly do not err the same way, and outvote it. No single member
        has to be right everywhere.
        """,
    )
    return


@app.cell
def _():
    size = lab.slider("size", 2, MOST, 5, label="Members")
    source = lab.dropdown("differ", list(SOURCES), "start and order", label="What differs")
    width = lab.slider("width", 0, 1, 8, label="Width of a member (units)", steps=[4, 8, 16, 32])
    seed = lab.slider("seed", 0, 10, 0, label="Seed")
    lab.panel(size, source, width, seed)
    return seed, size, source, width


@app.cell
def _(seed, source, width):
    everyone = answers(source.value, width.value, seed.value)
    return (everyone,)


@app.cell
def _(everyone, size):
    outputs = everyone[: size.value]
    combined = gs.train.combine(outputs)
    pairs = gs.train.disagreement(outputs)
    alone = [right(own) for own in outputs]
    difference_of_averages = (average_by_hand(outputs).exp() - combined.double().exp()).abs().max().item()
    same_votes = bool((vote_by_hand(outputs) == gs.train.vote(outputs)).all())
    return alone, combined, difference_of_averages, outputs, pairs, same_votes


@app.cell
def _(alone, combined, committed, difference_of_averages, outputs, pairs, prediction, same_votes):
    prediction.gate(
        committed(),
        lab.readout(
            one_member_on_average=sum(alone) / len(alone),
            best_member=max(alone),
            averaging=right(combined),
            voting=right(gs.train.vote(outputs)),
            disagreement_of_a_pair=pairs.sum().item() / (len(alone) * (len(alone) - 1)),
            averaging_by_hand_differs_by=difference_of_averages,
            votes_by_hand_are_the_same=same_votes,
        ),
    )
    return


@app.cell
def _(committed, everyone, prediction):
    growth = [
        {"members": k, "test accuracy": value, "how": how}
        for k in range(1, MOST + 1)
        for how, value in (
            ("averaging", right(gs.train.combine(everyone[:k]))),
            ("voting", right(gs.train.vote(everyone[:k]))),
            ("one member on average", sum(right(own) for own in everyone[:k]) / k),
        )
    ]
    prediction.gate(
        committed(),
        lab.lines(growth, "members", "test accuracy", by="how", says="Accuracy by the number of members", height=220),
    )
    return (growth,)


@app.cell
def _(combined, outputs):
    _y, _probabilities = lab.digits().test_y, outputs.double().softmax(2)
    _errors = [gs.train.brier_score(own, _y) for own in outputs]
    brier_members = sum(_errors) / len(_errors)
    brier_spread = (_probabilities - _probabilities.mean(0)).square().sum(2).mean().item()
    brier_average = gs.train.brier_score(combined, _y)
    _nll = [gs.train.negative_log_likelihood(own, _y) for own in outputs]
    nll_members, nll_average = sum(_nll) / len(_nll), gs.train.negative_log_likelihood(combined, _y)
    lab.table(
        [
            {"what": "average error of the members (Brier)", "value": brier_members},
            {"what": "− their spread", "value": brier_spread},
            {"what": "= by the formula", "value": brier_members - brier_spread},
            {"what": "error of the average, measured", "value": brier_average},
            {"what": "negative log-likelihood of a member, on average (nats)", "value": nll_members},
            {"what": "negative log-likelihood of the average (nats)", "value": nll_average},
        ],
        "The identity, on the test images",
    )
    return brier_average, brier_members, brier_spread, nll_average, nll_members


@app.cell
def _(pairs):
    lab.heat(
        [
            {"member": str(i), "other member": str(j), "disagreement": pairs[i, j].item()}
            for i in range(len(pairs))
            for j in range(len(pairs))
        ],
        "member",
        "other member",
        "disagreement",
        says="Diversity: how often two members name different digits",
        height=220,
    )
    return


@app.cell
def _():
    lab.prose(r"""
    Things to find: where nothing differs, a hundred members would say what one says; bagging makes every *member*
    worse, for it saw fewer different images, and yet the ensemble need not be; wide members err less, agree more, and
    gain less from company; the first few members bring most of it.

    ## Stacking: learn whom to trust

    Averaging and voting trust every member alike. *Stacking* lets a second model learn from the members' answers. It
    must not learn from answers about images that a member was trained on: those look too good. So every member is also
    trained without each fold of the data, and its answers about that fold are what the second model sees. The second
    model has weights of its own and wants more images to learn them from, so here there are more. Below, six members as
    above, and then six of which four started with weights too large and learned badly:
    """)
    return


@app.function
def uneven(seed):
    """Members 1, 2, 3 and 5 start with weights of standard deviation 1."""
    model = member(seed)
    if seed in (1, 2, 3, 5):
        gs.initialize(model, lab.digits().x[:32], seed=seed, scheme=gs.init.normal(std=1.0))
    return model


@app.cell
def _(committed, prediction):
    stacked, _digits = [], lab.digits()
    for _name, _make in (("alike", member), ("four of six are bad", uneven)):
        _meta = LogisticRegression(C=0.1, max_iter=1000)
        _stacking = gs.train.Stacking(_make, 6, folds=4, meta=_meta).fit(
            _digits.x[:MORE], _digits.y[:MORE], loss=cross_entropy, lr=0.01, steps=STEPS, batch_size=32
        )
        _said = _stacking.ensemble.outputs(_digits.test_x)
        stacked.append(
            {
                "members": _name,
                "best member": max(right(own) for own in _said),
                "voting": right(gs.train.vote(_said)),
                "averaging probabilities": right(gs.train.combine(_said)),
                "averaging logits": right(gs.train.combine(_said, average="logits")),
                "stacking": right(_stacking.predict(_digits.test_x)),
            }
        )
    prediction.gate(committed(), lab.table(stacked, f"Test accuracy of every way to combine, {MORE} training images"))
    return (stacked,)


@app.cell
def _(committed, prediction, stacked):
    _alike, _uneven = stacked
    prediction.gate(
        committed(),
        lab.prose(rf"""
    Beside averaging probabilities, stacking gains {_alike["stacking"] - _alike["averaging probabilities"]:+.3f} among
    equals and {_uneven["stacking"] - _uneven["averaging probabilities"]:+.3f} where most members are bad: it has
    learned which of them to believe, and about which digits. Averaging *logits* lets whoever shouts loudest decide: it
    has {_uneven["averaging logits"]:.3f} there. With the right of one voice each, probabilities have
    {_uneven["averaging probabilities"]:.3f} and votes {_uneven["voting"]:.3f}.
    """),
    )
    return


@app.cell
def _():
    stacking_tried, tell_stacking = mo.state(None, allow_self_loops=True)
    return stacking_tried, tell_stacking


@app.cell
def _(tell_stacking):
    exercise_stacking = lab.exercises.widget("stacking", mo)
    exercise_stacking.ask(tell_stacking)
    return (exercise_stacking,)


@app.cell
def _(exercise_stacking, stacking_tried):
    exercise_stacking.result(stacking_tried())
    return


@app.cell
def _():
    voting_tried, tell_voting = mo.state(None, allow_self_loops=True)
    return voting_tried, tell_voting


@app.cell
def _(tell_voting):
    exercise_voting = lab.exercises.widget("voting", mo)
    exercise_voting.ask(tell_voting)
    return (exercise_voting,)


@app.cell
def _(exercise_voting, voting_tried):
    exercise_voting.result(voting_tried())
    return


@app.cell
def _():
    graded, grade = mo.state(None, allow_self_loops=True)
    return grade, graded


@app.class_definition
class Together(nn.Module):
    """Four members that are trained as one network on the loss of what they say together."""

    def __init__(self, copies, says):
        super().__init__()
        self.members = nn.ModuleList(member(0 if copies else seed) for seed in range(4))
        self.says = says

    def forward(self, x):
        """[n, 64] to [n, 10]."""
        outputs = torch.stack([each(x) for each in self.members])
        if self.says == "probabilities":
            return outputs.softmax(2).mean(0)
        return gs.train.combine(outputs)


@app.cell
def _():
    def build(members, answer, rate):
        """The ensemble with its data, its loss and its optimizer."""
        digits, model = lab.digits(), Together(members == "four copies of one", answer)
        sgd = torch.optim.SGD(model.parameters(), lr=float(rate))
        return gs.Subject(model, digits.x[:128], digits.y[:128], cross_entropy, sgd)

    fix = lab.Fix(
        LESSON,
        """
        Four members, made by `copy.deepcopy`, answer with the mean of their probabilities, and `cross_entropy` trains
        them together. Choose members and an answer with which `gs.check` finds nothing above a note.
        """.strip(),
        build,
        {
            "members": ["four copies of one", "each from its own seed"],
            "answer": ["probabilities", "log-probabilities"],
            "rate": ["0.1", "0.01"],
        },
        {"answer": "What the ensemble says", "rate": "Learning rate"},
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

x, loss = torch.randn(200, 2), torch.nn.functional.cross_entropy
y = (x[:, 0] * x[:, 1] > 0).long()
ensemble = gs.train.Ensemble.make(lambda seed: torch.nn.Sequential(
    torch.nn.Linear(2, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2)), 5)
ensemble.fit(x, y, loss=loss, lr=0.01, steps=100, batch_size=32)
print(gs.train.accuracy(ensemble, x, y))
print(gs.train.disagreement(ensemble.outputs(x)))
""",
    )
    lab.stack(take_home)
    return (take_home,)


@app.cell
def _(brier_average, brier_members, brier_spread):
    lab.questions(
        {
            "Can the average be worse than its members?": rf"""
            In squared error not worse than they are *on average*: the identity subtracts a spread that is never
            negative (here {brier_members:.4f} − {brier_spread:.4f} = {brier_average:.4f}). It can be worse than the
            best one. In accuracy there is no such law: members that are mostly wrong outvote those that are right.""",
            "Why does an ensemble of copies gain nothing?": r"""
            The spread is 0 and the correlation 1: $\rho\sigma^2 + (1-\rho)\sigma^2/K = \sigma^2$ for every $K$. Worse,
            copies that are trained *together* receive equal gradients and stay copies (lesson 2). `Ensemble` refuses
            members with equal parameters.""",
            "Why average probabilities and not labels or logits?": r"""
            A vote throws away how sure a member is. Logits have no common scale: a member with large weights has large
            logits and decides alone. Probabilities are bounded. Averaging them makes the ensemble less sure where
            members differ, which is what calibration wants.""",
            "Why may the second model of a stack not see answers about training images?": r"""
            A member has partly learned those by heart and is surer and more often right there than on new images. The
            second model would learn to trust the one that overfits most.""",
            "Averaging makes the log-likelihood better for certain. Why?": r"""
            $-\log$ is convex. By Jensen's inequality, $-\log \frac1K \sum_k p_k \le \frac1K \sum_k -\log p_k$ on every
            sample: the average's loss is at most the average loss.""",
        }
    )
    return


@app.cell
def _():
    lab.prose(r"""
    *Sources: Hansen & Salamon, Neural network ensembles, 1990; Krogh & Vedelsby, Neural network ensembles, cross
    validation, and active learning, NIPS 1995 (the identity); Breiman, Bagging predictors, 1996; Wolpert, Stacked
    generalization, 1992; Lakshminarayanan, Pritzel & Blundell, Deep ensembles, NeurIPS 2017.*
    """)
    return


if __name__ == "__main__":
    app.run()
