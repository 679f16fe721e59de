"""Every operation once: a row an operation, and everything that is known of it in the row.

Planner, prediction, graph, checks and recorder ask here and keep no lists of their own:

- `of(site)` and `named("subtract")` give the row; operations without one share `UNKNOWN`, of kind `"unknown"`.
- `of(site).kind`, one of `KINDS`, says what an operation is; the other fields say what follows from it.
- `argument(site, "stride", 1)` is an argument of a call, by name, wherever it stood.
- `names("softmax")` are all names, aliases included, of the operations of some kinds.
- `of(site).forward` and `back` are formulas for the mean squares of signal and gradient, each with its source in
  `_formulas`; elementwise functions need none, since they are evaluated.
- `register(Op(...))` adds a row. To add an operation for good, add a line to `_ROWS`.

Names are those of `Site.op`: without in-place and operator spelling. Arguments are those of the function of this name
in `torch.nn.functional`, else `torch`, in their order. A test compares both with torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from gainstage.signal import _formulas as formulas
from gainstage.signal import _mixing as mixing
from gainstage.signal._formulas import Formula
from gainstage.signal._mixing import Mixing

if TYPE_CHECKING:
    from gainstage.signal._sites import Site

# Kinds of which a row is an elementwise function of what it reads.
ELEMENTWISE = ("activation", "function", "add", "product", "dropout")
KINDS = {
    "linear": "a weight times data: y = x W^T + b",
    "conv": "a convolution",
    "conv_transpose": "a transposed convolution",
    "embedding": "a look-up in a weight",
    "bilinear": "a weight times two signals",
    "matmul": "a product of two tensors, which is a weight's where one is constant",
    "recurrent": "a recurrent layer or cell: all its weights in one call",
    "activation": "an elementwise function that networks use between weights",
    "function": "any other elementwise function",
    "add": "a sum or difference of two tensors",
    "product": "an elementwise product or quotient",
    "blend": "several tensors added with fixed or given factors in one call: lerp, addcmul",
    "norm": "a normalization",
    "dropout": "a dropout",
    "softmax": "a softmax over one axis",
    "attention": "softmax(q k^T) v in one call",
    "gated": "one half of the units times a function of the other",
    "average": "an average over positions",
    "max": "a largest value over positions",
    "reduce": "any other number for many entries",
    "split": "a part of a tensor",
    "join": "several tensors in one",
    "mask": "some entries replaced by a number",
    "lookup": "entries chosen by indices",
    "scatter": "entries added up by indices",
    "rearrange": "the same entries in another shape, order, type or place",
    "factory": "new numbers; a tensor among the arguments only gives a size",
    "loss": "a comparison of a prediction with a target",
    "unknown": "no row says what it does",
}


@dataclass(frozen=True)
class Op:
    """What is known of one operation.

    Attributes:
        name: its canonical name.
        kind: a key of `KINDS`.
        arguments: names of its arguments in order, as far as anyone asks.
        aliases: further names of the same function with the same arguments.
        turns: it changes the order of axes.
        adds: it may be a fixed sum of what it reads, `a x + b y`; evaluating it tells.
        mixes: what of its input an output entry depends on besides its own sample and position: `"samples"` or
            `"positions"`.
        low, high: the values it can give, over all real inputs.
        flat: outputs below and above which the slope is below 2 % of its largest; None where it does not saturate.
        rectifies: a unit can be 0 for every sample.
        steep: its mean over a normal distribution hangs on the tails.
        levels: it gives a mean, variance or norm, by which a signal can be normalized.
        centred: a normalization that subtracts a mean.
        channels: a dropout that drops whole channels.
        always: a dropout that is on unless it is told otherwise.
        gates, forget: of a recurrent cell: how many gates a weight packs, and which one keeps the state.
        forward: the mean square of what it writes, from those of what it reads; None where nothing is known.
        back: the factor on the gradient's mean square that reaches one of them; None where nothing is known.
        spread: mean square, mean and likeness of what it writes, in a forecast, where it mixes positions or units.
        returns: the same of the gradient that reaches one of its signals.
        compares: of a loss: `"classes"`, `"binary"` or `"numbers"`.
        minor: arithmetic between layers, left out of tables of layers.
    """

    name: str
    kind: str
    arguments: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    turns: bool = False
    adds: bool = False
    mixes: str = ""
    low: float = -inf
    high: float = inf
    flat: tuple[float, float] | None = None
    rectifies: bool = False
    steep: bool = False
    levels: bool = False
    centred: bool = False
    channels: bool = False
    always: bool = True
    gates: int = 1
    forget: int | None = None
    forward: Formula | None = None
    back: Formula | None = None
    spread: Mixing | None = None
    returns: Mixing | None = None
    compares: str = ""
    minor: bool = False

    @property
    def elementwise(self) -> bool:
        """Whether an output entry is a function of the entries at its own place."""
        return self.kind in ELEMENTWISE

    @property
    def pools(self) -> bool:
        """Whether it hands on the average or the largest of several positions."""
        return self.kind in ("average", "max")


UNKNOWN = Op("unknown", "unknown")


def _rows(kind: str, names: str, arguments: str = "input", **same: Any) -> Iterator[Op]:
    """A row for each name (`name=alias=alias`), alike but for it."""
    for entry in names.split():
        name, *aliases = entry.split("=")
        yield Op(name, kind, tuple(arguments.split()), tuple(aliases), **same)


_CONV = "input weight bias stride padding"
_POOL = "input kernel_size stride padding"
_MOVING = "input running_mean running_var weight bias"
_LAYER = "input hx params has_biases num_layers dropout train bidirectional batch_first"  # packed: hx are batch sizes
_CELL = "input hx w_ih w_hh b_ih b_hh"
# Formulas that several rows share; their sources stand with them.
_Same = dict[str, Any]
_LSTM, _GRU, _TANH, _RELU = (_Same(forward=formulas.state(level)) for level in (0.06, 0.1, 0.4, 1.0))
_DROPS = _Same(forward=formulas.dropped, back=formulas.dropped_back)
_AVERAGES = _Same(forward=formulas.averaged, back=formulas.averaged_back, mixes="positions", **mixing.AVERAGED)
_PRODUCT = _Same(forward=formulas.contracted, mixes="positions", **mixing.CONTRACTED)
_SOFTMAX = _Same(forward=formulas.measured, mixes="positions", **mixing.SOFTMAXED)
_NORM = _Same(forward=formulas.normalized)
_CENTRED = _Same(_NORM, centred=True)
_LARGEST = _Same(back=formulas.spread_back, mixes="positions")
_TIMES = _Same(forward=formulas.multiplied, back=formulas.multiplied_back)
_ROWS: tuple[Op, ...] = (
    # weights
    *_rows("linear", "linear", "input weight bias"),
    *_rows("conv", "conv1d conv2d conv3d", f"{_CONV} dilation groups", mixes="positions"),
    *_rows(
        "conv_transpose",
        "conv_transpose1d conv_transpose2d conv_transpose3d",
        f"{_CONV} output_padding groups dilation",
        mixes="positions",
    ),
    *_rows("embedding", "embedding embedding_bag", "input weight"),
    *_rows("bilinear", "bilinear", "input1 input2 weight bias"),
    *_rows("matmul", "matmul=linalg_matmul=rmatmul", "input other", **_PRODUCT),
    *_rows("matmul", "mm bmm", "input mat2", **_PRODUCT),
    *_rows("matmul", "einsum", "equation", **_PRODUCT),
    *_rows("matmul", "_grouped_mm=grouped_mm", "", **_PRODUCT),
    *_rows("matmul", "addmm", "input mat1 mat2", **_PRODUCT),
    *_rows("matmul", "baddbmm", "input batch1 batch2", **_PRODUCT),
    *_rows("recurrent", "lstm", _LAYER, gates=4, forget=1, **_LSTM, mixes="positions"),
    *_rows("recurrent", "lstm_cell", _CELL, gates=4, forget=1, **_LSTM),
    *_rows("recurrent", "gru", _LAYER, gates=3, forget=1, **_GRU, mixes="positions"),
    *_rows("recurrent", "gru_cell", _CELL, gates=3, forget=1, **_GRU),
    *_rows("recurrent", "rnn_tanh", _LAYER, **_TANH, mixes="positions"),
    *_rows("recurrent", "rnn_tanh_cell", _CELL, **_TANH),
    *_rows("recurrent", "rnn_relu", _LAYER, rectifies=True, **_RELU, mixes="positions"),
    *_rows("recurrent", "rnn_relu_cell", _CELL, rectifies=True, **_RELU),
    # activations and other elementwise functions
    *_rows("activation", "relu relu6 threshold", low=0.0, rectifies=True),
    *_rows("activation", "gelu silu mish elu selu celu leaky_relu rrelu hardswish softsign tanhshrink"),
    *_rows("activation", "prelu", "input weight"),
    *_rows("activation", "softshrink hardshrink", "input lambd"),
    *_rows("activation", "logsigmoid=log_sigmoid", high=0.0),
    *_rows("activation", "softplus", low=0.0),
    *_rows("activation", "tanh", low=-1.0, high=1.0, flat=(-0.99, 0.99)),
    *_rows("activation", "hardtanh", "input min_val max_val", flat=(-0.99, 0.99)),
    *_rows("activation", "sigmoid=special_expit hardsigmoid", low=0.0, high=1.0, flat=(0.01, 0.99)),
    *_rows("function", "abs=absolute square sqrt", low=0.0),
    *_rows("function", "sin cos sinc sign floor round erf=special_erf erfc=special_erfc clamp_min clamp_max"),
    *_rows("function", "clamp=clip", "input min max"),
    *_rows("function", "maximum minimum", "input other"),
    *_rows("function", "where", "condition input other", minor=True),
    *_rows("function", "neg=negative", adds=True, minor=True),
    *_rows("function", "pow", "input exponent", minor=True),
    *_rows("function", "rsqrt reciprocal expm1=special_expm1 log log1p=special_log1p", steep=True),
    *_rows("function", "rdiv=rtruediv", "input other", steep=True, minor=True),
    *_rows("function", "exp", steep=True, minor=True),
    *_rows("add", "add=radd sub=subtract rsub", "input other", adds=True, minor=True, back=formulas.spread_back),
    *_rows("product", "mul=multiply=rmul", "input other", adds=True, minor=True, **_TIMES),
    *_rows("product", "div=divide=truediv=true_divide", "input other", adds=True, steep=True, minor=True),
    *_rows("blend", "lerp", "input end weight", adds=True, minor=True),
    *_rows("blend", "addcmul addcdiv", "input tensor1 tensor2", adds=True, minor=True),
    # normalization, regularization, attention
    *_rows("norm", "batch_norm", f"{_MOVING} training momentum eps", mixes="samples", **_CENTRED),
    *_rows("norm", "instance_norm", f"{_MOVING} use_input_stats momentum eps", mixes="positions", **_CENTRED),
    *_rows("norm", "layer_norm=native_layer_norm", "input normalized_shape weight bias eps", **_CENTRED),
    *_rows("norm", "group_norm", "input num_groups weight bias eps", mixes="positions", **_CENTRED),
    *_rows("norm", "rms_norm", "input normalized_shape weight eps", **_NORM),
    *_rows("norm", "normalize", "input p dim eps", forward=formulas.measured),
    *_rows("dropout", "dropout", "input p training", minor=True, **_DROPS),
    *_rows("dropout", "native_dropout", "input p train", **_DROPS),
    *_rows("dropout", "dropout1d dropout2d dropout3d", "input p training", channels=True, **_DROPS),
    *_rows("dropout", "alpha_dropout", "input p training", always=False, **_DROPS),
    *_rows("dropout", "feature_alpha_dropout", "input p training", channels=True, always=False, **_DROPS),
    *_rows("softmax", "softmax=special_softmax", "input dim", **_SOFTMAX, low=0.0, high=1.0),
    *_rows("softmax", "log_softmax=special_log_softmax", "input dim", **_SOFTMAX, high=0.0),
    *_rows(
        "attention",
        "scaled_dot_product_attention",
        "query key value attn_mask dropout_p is_causal scale",
        forward=formulas.attended,
        mixes="positions",
        **mixing.ATTENDED,
    ),
    *_rows("gated", "glu", "input dim"),
    # many positions into one, and back
    *_rows("average", "mean", "input dim", **_AVERAGES, levels=True, adds=True),
    *_rows("average", "avg_pool1d avg_pool2d avg_pool3d", _POOL, **_AVERAGES),
    *_rows("average", "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d", **_AVERAGES),
    *_rows("max", "max_pool1d max_pool2d=max_pool2d_with_indices max_pool3d", _POOL, **_LARGEST),
    *_rows("max", "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d", **_LARGEST),
    *_rows("reduce", "sum", "input dim", mixes="positions", adds=True, **mixing.SUMMED),
    *_rows("reduce", "var std norm linalg_norm linalg_vector_norm", mixes="positions", levels=True),
    *_rows("split", "chunk split tensor_split unbind select narrow split_with_sizes"),
    *_rows("split", "getitem", "input index"),
    *_rows("join", "cat=concat=concatenate", "tensors dim", minor=True, spread=mixing.joined),
    *_rows("join", "stack", "tensors dim", spread=mixing.joined),
    *_rows("mask", "masked_fill", "input mask value"),
    *_rows("mask", "pad", "input pad mode value", spread=mixing.padded),
    *_rows("lookup", "index_select gather", "input dim index"),
    *_rows("lookup", "take_along_dim", "input indices dim"),
    *_rows("scatter", "index_add scatter_add scatter_reduce", "input dim index", mixes="samples"),
    # the same entries otherwise
    *_rows("rearrange", "transpose=swapaxes=swapdims", "input dim0 dim1", turns=True),
    *_rows("rearrange", "permute", "input dims", turns=True),
    *_rows("rearrange", "movedim=moveaxis", "input source destination", turns=True),
    *_rows("rearrange", "t T=mT=H=mH=adjoint", turns=True),
    *_rows("rearrange", "clone contiguous detach alias positive requires_grad resolve_conj pin_memory", adds=True),
    *_rows("rearrange", "to type type_as float double half bfloat16 cpu cuda", adds=True),
    *_rows("rearrange", "reshape flatten unflatten view_as_real view_as_complex"),
    *_rows("factory", "arange linspace eye tensor new_zeros new_ones new_full new_empty new_tensor", ""),
    *_rows("factory", "zeros ones full empty rand randn randint", ""),
    *_rows("factory", "zeros_like ones_like full_like empty_like rand_like randn_like randint_like"),
    # losses
    *_rows("loss", "cross_entropy nll_loss", "input target weight", compares="classes"),
    *_rows("loss", "binary_cross_entropy binary_cross_entropy_with_logits", "input target weight", compares="binary"),
    *_rows("loss", "mse_loss l1_loss smooth_l1_loss huber_loss", "input target", compares="numbers"),
    *_rows("loss", "kl_div", "input target"),
    *_rows("loss", "ctc_loss cosine_embedding_loss triplet_margin_loss", ""),
)
_BY_NAME: dict[str, Op] = {}


def register(op: Op) -> None:
    """Add a row; whatever asks for the operation, under its name or an alias, knows it from now on."""
    assert op.kind in KINDS, f"{op.kind!r} is no kind of operation: {', '.join(KINDS)}"
    _BY_NAME.update(dict.fromkeys((op.name, *op.aliases), op))


for _row in _ROWS:
    register(_row)


def named(name: str) -> Op:
    """The row of an operation by any of its names."""
    return _BY_NAME.get(name, UNKNOWN)


def of(site: "Site") -> Op:
    """The row of a site's operation; leaves have none, and give `UNKNOWN`."""
    return _BY_NAME.get(site.op, UNKNOWN)


def names(*kinds: str) -> frozenset[str]:
    """All names, aliases included, of the operations of these kinds."""
    return frozenset(name for name, op in _BY_NAME.items() if op.kind in kinds)


def argument(site: "Site", name: str, default: Any = None) -> Any:
    """One argument of a call by its name, however it was passed; `default` where it was not, or is not in the row."""
    if name in site.kwargs:
        return site.kwargs[name]
    known = of(site).arguments
    position = known.index(name) if name in known else len(site.args)
    return site.args[position] if position < len(site.args) else default
