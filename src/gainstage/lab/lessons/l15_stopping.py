# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Early stopping: what is kept must be the best that was seen, whole."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="15. Early stopping · gainstage lab")

with app.setup:
    from math import ceil, inf

    import marimo as mo
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    import gainstage as gs
    from gainstage import lab

    LESSON = lab.lesson("l15_stopping")
    SAMPLES, EPOCHS, STEPS = 200, 60, 4  # training images; an epoch is 4 steps of 50 images


@app.cell
def _():
    lab.title(LESSON)
    return


@app.cell
def _():
    lab.prose(r"""
    A network that trains long enough learns its training images by heart, wrong labels included. Before that it learns
    what they have in common. Early stopping ends the training in between. It watches images that take no part in the
    training (the *validation* set) and stops when the loss on them gets no better.

    Three decisions are in it: what counts as better (`min_delta`), how long to wait for it (`patience`), and which
    weights you walk away with.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## The derivation: why stopping regularizes

    Take a linear model with squared error and start it at 0. Turn the axes to the principal directions of the inputs,
    so that every direction $i$ has its own curvature $\lambda_i$ and its own best weight $w_i^*$. Gradient descent with
    rate $\eta < 2 / \lambda_{\max}$ then moves every direction on its own:

    $$ w_i^{(t)} = w_i^{(t-1)} - \eta\,\lambda_i\,(w_i^{(t-1)} - w_i^*)
       \quad\Longrightarrow\quad w_i^{(t)} = \left(1 - (1 - \eta \lambda_i)^t\right) w_i^* $$

    Strong directions (large $\lambda_i$) are learned first, weak ones late. Now compare with a penalty
    $\frac{\alpha}{2} \lVert w \rVert^2$ (*ridge*, weight decay), whose minimum is
    $w_i = \frac{\lambda_i}{\lambda_i + \alpha}\, w_i^*$. For small $\lambda_i$ both shares are linear,
    $\eta\,t\,\lambda_i$ and $\lambda_i / \alpha$. They agree there if

    $$ \alpha = \frac{1}{\eta\, t} $$

    So the number of steps acts like a penalty: **training twice as long is like half the weight decay.** Label noise
    is spread over all directions, and the weak ones pay for it most: what is learned there is mostly noise. For deep
    networks this is a picture and no theorem; what happens there is measured below.
    """)
    return


@app.cell
def _():
    ETA, CURVES = 0.1, (1.0, 0.1, 0.01)  # learning rate, curvatures of three directions
    return CURVES, ETA


@app.cell
def _(CURVES, ETA):
    shares = []
    _x = torch.diag(torch.tensor(CURVES).sqrt())  # inputs whose principal directions are the axes; best weights are 1
    _model = nn.Linear(len(CURVES), 1, bias=False)
    _model.weight.data.zero_()
    for _step in range(1, 101):
        _run = gs.train.fit(
            _model,
            [(_x, _x.sum(1, keepdim=True))],
            loss=lambda output, y: (output - y).square().sum() / 2,
            optimizer=torch.optim.SGD(_model.parameters(), lr=ETA),
        )
        for _curve, _weight in zip(CURVES, _model.weight.detach()[0].tolist(), strict=True):
            shares.append(
                {
                    "step": _step,
                    "share learned": _weight,
                    "direction": f"curvature {_curve:g}",
                    "formula": 1 - (1 - ETA * _curve) ** _step,
                    "ridge": _curve / (_curve + 1 / (ETA * _step)),
                }
            )
    lab.lines(
        shares,
        "step",
        "share learned",
        by="direction",
        says="Gradient descent learns strong directions first",
        points=False,
        height=200,
    )
    return (shares,)


@app.cell
def _(ETA, shares):
    _last = shares[-3:]
    lab.table(
        [
            {
                "direction": row["direction"],
                "trained": row["share learned"],
                "1 - (1 - ηλ)^t": row["formula"],
                "ridge, α = 1/(ηt)": row["ridge"],
            }
            for row in _last
        ],
        f"Share of the best weight after {_last[0]['step']} steps at rate {ETA}",
    )
    return


@app.cell
def _():
    lab.prose(r"""
    ## The code

    The rule itself is short. An epoch is *progress* if its value is below that of the last progress by more than
    `min_delta`; after `patience` epochs without progress it stops. The *best* is the lowest value of all, however small
    its lead:
    """)
    return


@app.function
def stop_by_hand(values, patience, min_delta=0.0):
    """Epoch of the stop (None: never) and epoch of the best, both counted from 0."""
    to_beat, best, best_epoch, wait = float("inf"), float("inf"), None, 0
    for epoch, value in enumerate(values):
        if value < best:
            best, best_epoch = value, epoch
        if value < to_beat - min_delta:
            to_beat, wait = value, 0
        else:
            wait += 1
        if wait >= patience:
            return epoch, best_epoch
    return None, best_epoch


@app.cell
def _():
    lab.code(stop_by_hand)
    return


@app.cell
def _():
    committed, commit = mo.state(None, allow_self_loops=True)
    return commit, committed


@app.cell
def _():
    FALL, DELTA, PATIENCE, ALL = 0.02, 0.05, 5, 30
    OPTIONS = [
        f"After epoch {PATIENCE}: no epoch gains {DELTA}",
        f"After epoch {2 * PATIENCE}",
        "It does not stop",
    ]
    prediction = lab.Predict(
        LESSON,
        rf"""
        The validation loss starts at 1 and falls by {FALL} in every one of {ALL} epochs. `min_delta` is {DELTA} and
        `patience` {PATIENCE}. When does it stop?
        """.strip(),
        OPTIONS,
    )
    return ALL, DELTA, FALL, OPTIONS, PATIENCE, prediction


@app.cell
def _(commit, committed, prediction):
    prediction.ask(committed, commit)
    return


@app.cell
def _(ALL, DELTA, FALL, OPTIONS, PATIENCE):
    steady = gs.train.EarlyStopping("val_loss", patience=PATIENCE, min_delta=DELTA)
    waits = []
    for _i in range(ALL):
        _stops = steady.step(1 - FALL * _i)
        waits.append(steady.wait)
        if _stops:
            break
    steady_stop = steady.epoch - 1 if steady.reason else inf
    truth = OPTIONS[0 if steady_stop <= PATIENCE else 1 if steady_stop <= 2 * PATIENCE else 2]
    return truth, waits


@app.cell
def _(DELTA, FALL, PATIENCE, committed, prediction, truth, waits):
    prediction.reveal(
        committed(),
        truth,
        rf"""
        What has to be beaten is the value of the last *progress*, not that of the epoch before. Small gains add up:
        after {ceil(DELTA / FALL)} epochs they are more than {DELTA}, that counts, and the waiting starts anew. It never
        waited longer than {max(waits)} epochs. To stop a fall this slow, patience must be {max(waits)} or less: what
        the two settings ask for together is {DELTA} per {PATIENCE} epochs.
        """,
    )
    return


@app.cell
def _():
    lab.prose(r"""
    The library's is a callback of the training loop. It also keeps the weights of the best epoch and puts them back:

    ```python
    stopper = gs.train.EarlyStopping("val_loss", patience=10, keep={"model": model})
    run = gs.train.fit(model, batches, ..., validate=validate, on_epoch=[stopper])
    stopper.restore()      # the model is now that of stopper.best_epoch
    run.stopped            # why it ended, a sentence
    ```

    ## Measure it
    """)
    return


@app.cell
def _():
    lab.prose(rf"""
    {SAMPLES} images of digits to train on, some of them with a wrong label, and others with true labels to watch. A
    network of two hidden layers trains for {EPOCHS} epochs of {STEPS} steps. The sliders of the second row replay the
    decision on the same run, so that you see what each setting would have done.
    """)
    return


@app.function
def noisy_digits(noise, watched=100):
    """Training images of which about a share `noise` gets a label at random, and validation images with true labels."""
    digits = lab.digits()
    y = digits.y[:SAMPLES].clone()
    wrong = lab.draw(gs.init.uniform(0.0, 1.0), SAMPLES, seed=1) < noise
    y[wrong] = lab.draw(gs.init.uniform(0.0, 10.0), SAMPLES, seed=2).long()[wrong]
    return digits.x[:SAMPLES], y, digits.x[SAMPLES : SAMPLES + watched], digits.y[SAMPLES : SAMPLES + watched]


@app.function
def trained(noise, watched=100, seed=0, rate=0.003, patience=None, min_delta=0.0, epochs=EPOCHS):
    """The model after its last epoch, the run and its stopper; the test accuracy is written down but not used."""
    x, y, val_x, val_y = noisy_digits(noise, watched)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    gs.initialize(model, x, seed=seed)
    stopper = gs.train.EarlyStopping("val_loss", patience=patience, min_delta=min_delta, keep={"model": model})

    def validate(net):
        digits = lab.digits()
        return {
            "val_loss": cross_entropy(net(val_x), val_y),
            "test_accuracy": (net(digits.test_x).argmax(1) == digits.test_y).float().mean(),
        }

    run = gs.train.fit(
        model,
        gs.train.minibatches(x, y, batch_size=SAMPLES // STEPS, steps=STEPS * epochs, seed=seed),
        loss=cross_entropy,
        optimizer=torch.optim.Adam(model.parameters(), lr=rate),
        epochs=epochs,
        steps=STEPS,
        validate=validate,
        on_epoch=[stopper],
    )
    return model, run, stopper


@app.function
def replayed(run, **settings):
    """A stopper that has seen the epochs of a run, as if it had been there; it stops looking where it would stop."""
    stopper = gs.train.EarlyStopping("val_loss", **settings)
    for epoch in run.epochs:
        if stopper(epoch):
            break
    return stopper


@app.cell
def _():
    noise = lab.slider("noise", 0, 0.6, 0.3, label="Share of training labels that are random", step=0.1)
    watched = lab.slider("watched", 0, 1, 100, label="Validation images", steps=[10, 20, 50, 100, 300])
    seed = lab.slider("seed", 0, 10, 0, label="Seed")
    patience = lab.slider("patience", 1, 20, 3, label="Patience (epochs)")
    min_delta = lab.slider("delta", 0, 0.3, 0, label="min_delta (nats)", step=0.02)
    lab.stack(lab.panel(noise, watched, seed), lab.panel(patience, min_delta))
    return min_delta, noise, patience, seed, watched


@app.cell
def _(noise, seed, watched):
    model, run, kept = trained(noise.value, watched.value, seed.value)
    _, _, _val_x, _val_y = noisy_digits(noise.value, watched.value)
    kept.restore()
    with torch.no_grad():
        restored_loss = cross_entropy(model(_val_x), _val_y).item()
    val_losses = [epoch.metrics["val_loss"] for epoch in run.epochs]
    test_accuracies = [epoch.metrics["test_accuracy"] for epoch in run.epochs]
    return kept, restored_loss, run, test_accuracies, val_losses


@app.cell
def _(min_delta, patience, run, val_losses):
    stopper = replayed(run, patience=patience.value, min_delta=min_delta.value)
    stopped_at = stopper.epoch - 1
    by_hand = stop_by_hand(val_losses, patience.value, min_delta.value)
    same_as_by_hand = by_hand == (stopped_at if stopper.reason else None, stopper.best_epoch)
    return same_as_by_hand, stopped_at, stopper


@app.cell
def _(same_as_by_hand, stopped_at, stopper, test_accuracies):
    lab.readout(
        stops_after_epoch=stopped_at,
        best_epoch=stopper.best_epoch,
        test_accuracy_at_the_stop=test_accuracies[stopped_at],
        test_accuracy_of_the_best=test_accuracies[stopper.best_epoch],
        test_accuracy_of_the_last_of_all=test_accuracies[-1],
        by_hand_and_library_agree=same_as_by_hand,
    )
    return


@app.cell
def _(run, stopped_at, stopper, val_losses):
    _marks = [(stopper.best_epoch, "best so far"), (stopped_at, "stop")]
    lab.lines(
        [
            {"epoch": epoch.number, "loss (nats)": value, "what": what}
            for what, values in (("training", [e.loss for e in run.epochs]), ("validation", val_losses))
            for epoch, value in zip(run.epochs, values, strict=True)
        ]
        + [
            {"epoch": at, "loss (nats)": value, "what": what} for at, what in _marks for value in (0.0, max(val_losses))
        ],
        "epoch",
        "loss (nats)",
        by="what",
        says="The losses, and where it stops",
        points=False,
    )
    return


@app.cell
def _(kept, restored_loss, run, stopper, test_accuracies, val_losses):
    lab.prose(rf"""
    {f"The stopper says: *{stopper.reason}.*" if stopper.reason else "It never stops: progress goes on to the end."}

    The run went on to the end all the same, with `keep={{"model": model}}`. After its last epoch the validation loss
    was {val_losses[-1]:.4f} and the training loss {run.epochs[-1].loss:.4f}. `restore()` put the weights of epoch
    {kept.best_epoch} back: measured anew, their validation loss is {restored_loss:.4f}, and it had been
    {kept.best:.4f} then. The test accuracy is {test_accuracies[kept.best_epoch]:.3f} in place of
    {test_accuracies[-1]:.3f}.

    Things to find: with few validation images the best epoch moves about, and the test accuracy pays for it; a large
    `min_delta` stops it while it still improves, yet the *best* is the lowest value nevertheless; patience costs
    epochs, and no more than that, as the best is kept; without label noise there is little to gain.
    """)
    return


@app.cell
def _():
    lab.prose(r"""
    ## Other ways to decide

    Patience counts epochs. Prechelt's criteria look at the curve instead. With the lowest validation error so far
    $E_{\min}$, the *generalization loss* is $\mathrm{GL} = 100\,(E / E_{\min} - 1)$, in per cent.

    - `GL(α)`: stop when GL is above $\alpha$.
    - `PQ(α)`: stop when GL is above $\alpha$ times the *progress* that training still makes: a strip of 5 epochs whose
      training error falls steeply excuses some loss.
    - `UP(s)`: stop when the validation error has risen over $s$ strips in a row, however little.

    Noise in the curve can also be smoothed away before it is judged. All of them on the run above:
    """)
    return


@app.cell
def _(run, test_accuracies):
    _ways = {
        "patience 3": {"patience": 3},
        "patience 10": {"patience": 10},
        "patience 3, moving average": {"patience": 3, "smooth": gs.train.moving_average(0.7)},
        "patience 3, moving median of 5": {"patience": 3, "smooth": gs.train.moving_median(5)},
        "GL(5)": {"patience": None, "criterion": gs.train.GL(5.0)},
        "GL(50)": {"patience": None, "criterion": gs.train.GL(50.0)},
        "PQ(0.5)": {"patience": None, "criterion": gs.train.PQ(0.5)},
        "UP(2)": {"patience": None, "criterion": gs.train.UP(2)},
    }
    criteria = []
    for _name, _settings in _ways.items():
        _seen = replayed(run, **_settings)
        criteria.append(
            {
                "criterion": _name,
                "stops after epoch": _seen.epoch - 1 if _seen.reason else "never",
                "best epoch": _seen.best_epoch,
                "test accuracy of the best": test_accuracies[_seen.best_epoch],
            }
        )
    lab.table(criteria, "Every criterion on the same run")
    return (criteria,)


@app.cell
def _():
    early_stopping_tried, tell_early_stopping = mo.state(None, allow_self_loops=True)
    return early_stopping_tried, tell_early_stopping


@app.cell
def _(tell_early_stopping):
    exercise_early_stopping = lab.exercises.widget("early_stopping", mo)
    exercise_early_stopping.ask(tell_early_stopping)
    return (exercise_early_stopping,)


@app.cell
def _(exercise_early_stopping, early_stopping_tried):
    exercise_early_stopping.result(early_stopping_tried())
    return


@app.cell
def _():
    graded, grade = mo.state(None, allow_self_loops=True)
    return grade, graded


@app.cell
def _():
    def build(weights, rate, patience):
        """The network of this lesson after its training, with the images that it was watched on."""
        model, run, stopper = trained(0.3, rate=float(rate), patience=int(patience), epochs=30)
        if weights == "of the best epoch":
            stopper.restore()
        model.losses, model.best_loss = run.losses[:100], stopper.best
        _, _, val_x, val_y = noisy_digits(0.3)
        return gs.Subject(model, val_x, val_y, cross_entropy)

    def is_the_best(subject):
        """What is kept is as good on the validation images as the best that was seen."""
        with torch.no_grad():
            kept = cross_entropy(subject.model(subject.example), subject.target).item()
        says = "validation loss of the weights that are kept, over the best that was seen"
        return [lab.Demand(says, kept / subject.model.best_loss, most=1.001)]

    def as_it_was_trained(subject):
        """The first hundred steps of the run that led here, and what is kept on the test images."""
        digits, losses = lab.digits(), subject.model.losses
        score = gs.train.accuracy(subject.model, digits.test_x, digits.test_y)
        return lab.Trained(tuple(losses), score, needed=0.75, steps=len(losses))

    fix = lab.Fix(
        LESSON,
        """
        This network was trained with Adam at a rate of 0.3 and stopped early, "so it cannot have been harmed". Here it
        is after its training. Choose what should have been done, so that `gs.check` finds nothing above a note. Can
        going back to the best epoch save it?
        """.strip(),
        build,
        {
            "weights": ["of the last epoch", "of the best epoch"],
            "rate": ["0.3", "0.003"],
            "patience": ["10", "2"],
        },
        {"weights": "Weights that are kept", "rate": "Learning rate"},
        demands=is_the_best,
        train=as_it_was_trained,
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

model, (x, v) = torch.nn.Linear(3, 1), torch.randn(2, 64, 3)
mse, sgd = torch.nn.functional.mse_loss, torch.optim.SGD(model.parameters(), lr=0.1)
stopper = gs.train.EarlyStopping("val_loss", patience=5, keep={"model": model})
gs.train.fit(model, [(x, x.sum(1, True))], loss=mse, optimizer=sgd, epochs=99,
             validate=lambda m: {"val_loss": mse(m(v), v.sum(1, True))},
             on_epoch=[stopper])
print(stopper.restore(), stopper.best_epoch, stopper.reason)
""",
    )
    lab.stack(take_home)
    return (take_home,)


@app.cell
def _(kept, val_losses):
    lab.questions(
        {
            "Why watch a validation set, and report on a test set?": r"""
            The best of many epochs was chosen by the validation loss; part of why it is lowest is luck on those images.
            The test images took no part in the choice, so what is measured on them is not flattered by it.""",
            "You stop with patience 10 and keep the weights you stopped with. Which are they?": rf"""
            Those of at least ten epochs after the best, so the most overfitted ones you have. On the run above the
            validation loss was lowest at epoch {kept.best_epoch} ({kept.best:.3f}) and {val_losses[-1]:.3f} at the end.
            That is why `restore()` belongs to it.""",
            "What besides the weights has to be put back?": r"""
            Everything that training goes on from: the running statistics of normalizations, the state of the optimizer
            (the moments of Adam belong to the late weights), averaged weights. Give them all:
            `keep={"model": model, "optimizer": adam, "averaged": ema}`.""",
            "The validation loss becomes NaN in one epoch. What should happen?": r"""
            NaN compares false with everything, so code that is careless counts it as better, or keeps weights that are
            NaN. Here a value that is not finite is never the best and never progress, and by default it ends the run
            with that reason.""",
            "Training twice as long is like half the weight decay. Where does this stop being true?": r"""
            The two shares agree for weak directions, $\eta t \lambda \ll 1$, and both tend to 1 for strong ones; in
            between they differ. And it was derived for a linear model that starts at 0 with plain gradient descent:
            Adam rescales the directions, and a deep network's curvature changes while it learns.""",
        }
    )
    return


@app.cell
def _():
    lab.prose(r"""
    *Sources: Prechelt, Early stopping — but when?, 1998 (GL, PQ, UP); Bishop, Regularization and complexity control in
    feed-forward networks, 1995, and Goodfellow, Bengio & Courville, Deep Learning, 2016, section 7.8 (stopping and
    weight decay).*
    """)
    return


if __name__ == "__main__":
    app.run()
