"""Rules about what an output owes to its own sample, and to the others of the batch."""

from collections.abc import Iterator

from torch import Tensor

from gainstage.check._fact import fact
from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.experiments.first_change import first_change
from gainstage.check.experiments.others_changed import others_changed
from gainstage.check.facts.arrivals import only_step
from gainstage.check.facts.limits import LEAK
from gainstage.check.facts.modes import in_eval
from gainstage.check.facts.outputs import SOFTMAX
from gainstage.check.findings import Fix, Found, Value
from gainstage.run import tensors_in
from gainstage.signal import Site, ops, walk

_NEIGHBOURS = ops.names("scatter") | {"segment_reduce", "spmm"}
_LOOKED_UP = ops.names("lookup") | {"getitem"}
_ATTENDING = frozenset({"MultiheadAttention", "TransformerEncoderLayer", "TransformerDecoderLayer"})
_SHAPED = frozenset({"expand_as", "view_as", "reshape_as", "type_as"})
_ATTENTION = ops.names("attention", "matmul") | {"multi_head_attention_forward"}


@fact
def exchanged_outputs(evidence: Evidence) -> list[tuple[Tensor, Tensor]]:
    """Pairs of outputs in evaluation mode, before and after every second sample became the one before.

    Only outputs with one row a sample.
    """
    batch = evidence.tape.batch
    if batch is None or batch < 4:
        raise NotMeasured("the example holds fewer than four samples")
    if not evidence.input_varies:
        raise NotMeasured("all samples of the example are equal; give different ones")
    before = in_eval(evidence)
    try:
        after = others_changed(evidence.model, evidence.example, batch=batch, seed=evidence.seed)
    except Exception as error:
        raise NotMeasured(f"the model refuses exchanged samples: {type(error).__name__}") from error
    pairs = [(a.double(), b.double()) for a, b in zip(before, after, strict=False) if a.shape == b.shape and a.dim()]
    pairs = [(a, b) for a, b in pairs if a.shape[0] == batch and not _pairwise(a, batch) and a.isfinite().all()]
    if not pairs:
        raise NotMeasured("the model returns no tensor with one row a sample")
    return pairs


def _pairwise(output: Tensor, batch: int) -> bool:
    """Whether an output has an axis of the batch's other samples, with one or two more or fewer."""
    return any(min(size % batch, -size % batch) <= 2 <= size for size in output.shape[1:] if size >= batch - 2)


@rule(
    "DAT606",
    "error",
    explains=("FWD201", "OPT804", "OPT815", "OUT501"),
    no_number="a path leads from an input to the output, or none does",
)
def ignored_input(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Looks for inputs from which no path leads to an output or the loss, and confirms that the outputs stay the same when
    half of the samples are replaced. Of a sequence of real numbers, looks whether a single step is read.

    ## Why is this bad?
    The answer is the same for every sample: nothing about the data can be learned.

    ## Known problems
    Of several inputs a single one that is not read is a note, unless two weights read another of the same shape, and
    integers and masks may go unread. An output that is
    0 because its head starts at 0 is not meant.

    ## Example
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.start, self.head = nn.Parameter(torch.randn(16)), nn.Linear(16, 4)

        def forward(self, x):
            return self.head(self.start.expand(len(x), -1))

    model = Model()
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    ```

    ## References
    Karpathy, *A Recipe for Training Neural Networks*, 2019: "input-independent baseline".
    """
    evidence.measured()
    inputs = [site for site in evidence.tape.sites if site.kind == "input"]
    read = _read(evidence)
    unread = [site for site in inputs if site.index not in read]
    if inputs and len(unread) == len(inputs):
        pairs = exchanged_outputs(evidence)
        if not any(bool((a != b).any()) for a, b in pairs) and not any(bool((a != a[:1]).any()) for a, _ in pairs):
            yield Found(
                "error",
                inputs[0].name,
                measured="no path leads from the input to the output; replacing half of the samples changes nothing",
                expected="outputs that depend on their samples",
                message="the model does not read its input",
                fix=Fix(
                    "look in forward for a variable that was overwritten, or a layer that was given another tensor"
                ),
            )
        return
    yield from _one_step(evidence)
    for site in unread:
        if site.dtype.startswith(("float", "bfloat")) and len(site.shape) > 1:
            twice = [other.name for other in inputs if other.shape == site.shape and _read_twice(evidence, other)]
            varies = site.forward is not None and site.forward.variance_between > 0
            yield Found(
                "warning" if twice and varies else "note",
                site.name,
                measured=f"no path leads from this input of shape {list(site.shape)} to an output or the loss"
                + (f"; two weights read {twice[0]}, of the same shape" if twice else ""),
                expected="inputs that are used",
                message="this input is not read",
                fix=Fix("use it, or leave it out"),
            )


def _one_step(evidence: Evidence) -> Iterator[Found]:
    try:
        step = only_step(evidence)
        mixed = step is not None and any(bool((a[::2] != b[::2]).any()) for a, b in exchanged_outputs(evidence))
    except NotMeasured:
        return
    if step is not None and not mixed:
        yield Found(
            "warning",
            "input#0",
            measured=f"of all steps of the sequence only number {step} changes the outputs",
            expected="outputs that depend on the sequence",
            message="what the model reads of a sequence is one step",
            fix=Fix("look at which state the output is read from: the last one has seen them all"),
        )


def _read_twice(evidence: Evidence, site: Site) -> bool:
    """Whether two different weights read an input, through views at most."""
    calls = (call for call in evidence.graph.weights.values() if call.data is not None)
    found = [call for call in calls if call.data is not None and evidence.made_by(call.data.site) == site.index]
    return len({evidence.graph.parameter_of(call.weight) for call in found}) > 1


def _read(evidence: Evidence) -> set[int]:
    """The sites whose numbers reach an output or the loss; a tensor that only gives its shape or type is not read."""
    sites = evidence.tape.sites

    def read(index: int) -> list[int]:
        reads = sites[index].inputs
        return [ref.site for ref in (reads[:1] if sites[index].op in _SHAPED else reads)]

    return set(walk([*evidence.graph.outputs, *(site.index for site in sites if site.kind == "loss")], read))


@rule("DAT607", "warning", explains=("FWD201", "OPT804", "OPT815", "OUT501"))
def sample_leak(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Replaces every second sample in evaluation mode, and measures how the outputs of the others change, over the
    differences between samples. Where they change, it names the first site that mixes samples.

    ## Why is this bad?
    A prediction that depends on which other samples share its batch is another one when the model is used. Mostly an
    axis was mistaken: a recurrent layer or attention without `batch_first=True` runs along the samples, or a `view`
    stands where a `transpose` was meant.

    ## Known problems
    Silent unless the first axis is surely that of the samples: in graphs, and in sequences with time first, rows belong
    together. Models that compare the samples of a batch on purpose are reported.

    ## Example
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = nn.LSTM(8, 16), nn.Linear(16, 4)

        def forward(self, x):
            return self.head(self.rnn(x)[0][:, -1])

    model, x = Model(), torch.randn(64, 10, 8)
    ```

    ## Use instead
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 4)

        def forward(self, x):
            return self.head(self.rnn(x)[0][:, -1])

    model, x = Model(), torch.randn(64, 10, 8)
    ```

    ## References
    Karpathy, *A Recipe for Training Neural Networks*, 2019: "use backprop to chart dependencies".
    """
    _surely_samples(evidence)
    moved = 0.0
    batch = evidence.tape.batch or 0
    for a, b in exchanged_outputs(evidence):
        spread = float((a - a.mean(0)).square().mean())
        change = float((a - b)[::2].square().mean())
        moved = max(moved, (change / spread) ** 0.5 if spread > 0 else 0.0)
    if not moved > LEAK.warning:
        yield LEAK(moved)
        return
    site = first_change(evidence.model, evidence.example, batch=batch, seed=evidence.seed)
    where = "output" if site is None else site.name
    yield Found(
        "warning",
        where,
        measured=f"replacing other samples changes a sample's output by {moved:.2g} of the differences between samples",
        expected="0 in evaluation mode",
        message=f"outputs depend on the other samples of the batch, first at {where}",
        fix=Fix(_repair(evidence, site)),
        value=LEAK(moved),
    )


def _repair(evidence: Evidence, site: Site | None) -> str:
    if site is None:
        return "look for operations over axis 0"
    op, reads = site.op, evidence.graph.data(site.index)
    if op.split("_")[0] in ("lstm", "gru", "rnn"):
        if reads and evidence.tape.sites[reads[0].site].op in ("view", "reshape"):
            return "write x.transpose(0, 1): a view or reshape of (samples, time) to (time, samples) scrambles both"
        return "write batch_first=True: this layer takes the first axis, the samples, for time"
    if op in _ATTENTION or site.module in _ATTENDING:
        return "write batch_first=True, or look at the order of the axes: the attention runs over the samples"
    if op in SOFTMAX or op in ("mean", "sum", "max", "amax", "std", "var", "norm"):
        return f"{op} runs over axis 0, the samples: give it the axis of the features"
    return "look for a view or reshape where a transpose was meant, and for operations over axis 0"


def _surely_samples(evidence: Evidence) -> None:
    """Raise `NotMeasured` where rows of the example may belong together."""
    evidence.measured()
    batch, graph = evidence.tape.batch, evidence.graph
    tensors = [t for t in tensors_in(evidence.example) if t.dim()]
    if batch is None or any(t.shape[0] != batch for t in tensors):
        raise NotMeasured("not every input has one row a sample")
    one_label = (
        isinstance(evidence.target, Tensor)
        and evidence.target.dim() > 0
        and evidence.target.shape[0] == evidence.target.numel() == batch
    )
    sequences = [t for t in tensors if t.dim() == 3 or (t.dim() == 2 and not t.is_floating_point())]
    if sequences and not (one_label and all(t.shape[1] != batch for t in sequences)):
        raise NotMeasured("the first axis may be time rather than samples: give one target a sample")
    for site in evidence.tape.sites:
        fixed = [graph.sites[r.site] for r in site.inputs if graph.sites[r.site].kind in ("buffer", "constant")]
        square = any(sum(size == batch for size in leaf.shape) > 1 for leaf in fixed)
        looks_up = site.op in _LOOKED_UP and any(leaf.dtype.startswith("int") and leaf.shape for leaf in fixed)
        if square or looks_up or site.op in _NEIGHBOURS or "sparse" in site.op:
            raise NotMeasured("the samples may be nodes of one graph")
        if site.op == "batch_norm" and ops.argument(site, "running_mean") is None:
            raise NotMeasured("a batch normalization without running statistics shares them on purpose")
