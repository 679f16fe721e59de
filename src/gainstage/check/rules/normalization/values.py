"""Rules about how many values a normalization has for its statistics, and along which axes they lie."""

from collections.abc import Iterator

from gainstage.check._fact import fact
from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.experiments.others_changed import others_changed
from gainstage.check.facts.limits import LEAK
from gainstage.check.facts.modes import in_eval
from gainstage.check.facts.norms import Norm, norms, over_samples, unit_axis
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity

FEW_VALUES = Quantity(
    "values from which a channel's mean and variance are taken",
    note=Limit(5, "Digits, Adam: 0.93 with 5 and 6, where 0.97 is reached with 32."),
    warning=Limit(
        3,
        "Digits, Adam: 0.55 with 2, 0.84 with 3, 0.90 with 4; without normalization 0.90 to 0.91. Zoo: lowest 8.",
    ),
)


@rule("NRM401", "warning", explains=("BWD302", "FWD207", "NRM406"))
def few_values_per_channel(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Counts the values, samples times positions, from which each batch normalization in training mode takes a channel's
    mean and variance.

    ## Why is this bad?
    Two values become -1 and 1 whatever they are, and pass no gradient. With three the noise of the statistics is as
    large as the signal. On digits a network of width 64 reaches 0.55, 0.84 and 0.90 with batches of 2, 3 and 4, against
    0.90, 0.91 and 0.91 without normalization, and 0.97 with 32.

    ## Known problems
    The example is taken for the batch that you train with. A single sample with many positions is a note: its running
    statistics mix samples that training never mixed.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 4))
    x, y = x[:2], y[:2]
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 4))
    x, y = x[:32], y[:32]
    ```

    ## References
    Wu, He, *Group Normalization*, ECCV 2018, figure 1.
    """
    layers = [norm for norm in _norms(evidence) if norm.across_samples]
    if not layers:
        raise NotMeasured("no batch normalization runs in training mode")
    poor = [norm for norm in layers if norm.values <= FEW_VALUES.note]
    single = not poor and evidence.tape.batch == 1
    worst = min(poor or layers, key=lambda norm: norm.values)
    value = FEW_VALUES(worst.values, worst.site.name)
    if not poor and not single:
        yield value
        return
    harmed = worst.values <= FEW_VALUES.warning and evidence.cut(worst.site.index)
    alike = f", as in {len(poor) - 1} other layers" if len(poor) > 1 else ""
    yield Found(
        "warning" if harmed else "note",
        worst.site.name,
        measured=f"{worst.values} values a channel{alike}" if poor else "every statistic is of a single sample",
        expected=f"more than {FEW_VALUES.note:.0f}, of several samples; 32 or more are usual",
        message="the outputs are -1 and 1, whatever comes in"
        if worst.values == 2
        else "each output depends on the few others that it is compared with more than on its own input"
        if poor
        else "evaluation divides by an average over samples that training never saw",
        fix=evidence.fix("train with larger batches, or use nn.GroupNorm or nn.LayerNorm here", []),
        value=value if poor else None,
    )


SHARING = Quantity(
    "entries that share one mean and variance",
    warning=Limit(2, "Two become -1 and 1, whatever their size."),
    error=Limit(1, "One entry minus its own mean is 0."),
)


@rule("NRM402", "error", explains=("DAT603", "DAT606", "DAT607", "FWD201", "FWD202"))
def constant_normalization(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Counts the entries that share one mean and variance in layer, group and instance normalizations.

    ## Why is this bad?
    One entry minus its own mean is 0: the output is the bias of the layer, whatever the input. It happens with as many
    groups as channels on a vector or a 1 x 1 map, and with a layer normalization of width 1. Two entries become
    -1 and 1: of their values only the order is left.

    ## Known problems
    Where a path around it leads on to the output, it is a warning.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.GroupNorm(64, 64), nn.ReLU(), nn.Linear(64, 4))
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.GroupNorm(8, 64), nn.ReLU(), nn.Linear(64, 4))
    ```

    ## References
    Wu, He, *Group Normalization*, ECCV 2018, section 3.
    """
    layers = [norm for norm in _norms(evidence) if not norm.across_samples]
    if not layers:
        raise NotMeasured("no layer, group or instance normalization")
    for norm in layers:
        lost = norm.values == 1 and norm.centred
        signs = norm.values == 1 + norm.centred and norm.site.op != "normalize"
        moments = norm.site.forward
        value = SHARING(norm.values, norm.site.name)
        if not (lost or signs) or moments is None or (lost and moments.variance_between > 1e-6):
            yield value
            continue
        cut = evidence.cut(norm.site.index)
        yield Found(
            ("error" if cut else "warning") if lost else "warning" if cut else "note",
            norm.site.name,
            measured=f"{norm.values} {'entry shares' if norm.values == 1 else 'entries share'} one statistic, "
            + (f"and between samples varies {moments.variance_between:.1e}" if lost else "so each output is -1 or 1"),
            expected="several entries, 8 or more are usual",
            message=f"{norm.site.op} of a single value gives its bias, whatever the input"
            if lost
            else f"{norm.site.op} keeps the sign and loses the size of its input",
            fix=evidence.fix("use fewer groups, normalize before pooling to 1 x 1, or leave this layer out", []),
            value=value,
        )


@rule("NRM403", "warning", explains=("DAT606", "DAT607", "NRM406"))
def normalized_axis(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Finds layer, group and L2 normalizations whose statistics run over the samples, and measures on a batch half of
    which is exchanged how the outputs of the other half change. Also finds batch, group and instance normalizations
    that take positions for channels: their input's units lie on the last axis.

    ## Why is this bad?
    A prediction that depends on the other samples of its batch is another one at test time. Statistics for each
    position instead of each feature normalize what was not meant, and fix the length of the sequence.

    ## Known problems
    The second is a note: it works, and a few models of time series mean it. Views that mix axes hide the units.

    ## Example
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(8, 64), nn.Linear(64, 4)

        def forward(self, x):
            h = self.first(x)
            return self.second(torch.relu(F.layer_norm(h, h.shape)))

    model = Model()
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.LayerNorm(64), nn.ReLU(), nn.Linear(64, 4))
    ```

    ## References
    Ba, Kiros, Hinton, *Layer Normalization*, 2016: statistics over the units of one sample.
    """
    layers = _norms(evidence)
    across = [norm for norm in layers if over_samples(evidence, norm)]
    moved = owed_to_others(evidence) if across else 0.0
    if across and not moved > LEAK.warning:
        yield LEAK(moved, across[0].site.name)
    elif across:
        yield Found(
            "warning",
            across[0].site.name,
            measured=f"exchanging the other samples changes a sample's output by {moved:.2g} of the differences "
            "between samples",
            expected="0 in evaluation mode",
            message=f"the statistics of this {across[0].site.op} run over the samples of the batch",
            fix=evidence.fix("normalize over the last axes only: nn.LayerNorm(features), F.normalize(x, dim=-1)", []),
            value=LEAK(moved),
        )
    swapped = [norm for norm in layers if _takes_positions_for_channels(evidence, norm)]
    if swapped:
        shape = "x".join(map(str, swapped[0].site.shape))
        yield Found(
            "note",
            swapped[0].site.name,
            measured=f"the units of its {shape} input lie on the last axis, its channels on axis 1"
            + (f", as in {len(swapped) - 1} other layers" if len(swapped) > 1 else ""),
            expected="channels on axis 1, as after a convolution",
            message=f"this {swapped[0].site.op} takes each position for a channel and mixes its features",
            fix=evidence.fix("use nn.LayerNorm, or transpose(1, 2) before and after it", []),
        )


@fact
def owed_to_others(evidence: Evidence) -> float:
    """How much outputs of samples 0, 2, 4, ... change when the others do, over their differences between samples."""
    batch, most = evidence.tape.batch or 0, 0.0
    before = in_eval(evidence)
    after = others_changed(evidence.model, evidence.example, batch=batch, seed=evidence.seed)
    for a, b in zip(before, after, strict=False):
        if a.shape == b.shape and a.dim() and len(a) == batch:
            a, b = a.double(), b.double()
            spread = float((a - a.mean(0)).square().mean())
            moved = float((a - b)[::2].square().mean())
            most = max(most, (moved / spread) ** 0.5 if spread > 0 else 0.0)
    return most


def _takes_positions_for_channels(evidence: Evidence, norm: Norm) -> bool:
    if norm.site.op not in ("batch_norm", "group_norm", "instance_norm") or len(norm.site.shape) < 3:
        return False
    return unit_axis(evidence, norm.site.inputs[0].site) == len(norm.site.shape) - 1


def _norms(evidence: Evidence) -> list[Norm]:
    evidence.measured()
    found = norms(evidence)
    if not found:
        raise NotMeasured("the model calls no normalization of torch")
    return found
