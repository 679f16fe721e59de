"""Every number that a rule compares with, and where it comes from.

*Digits* below is the run of `benchmarks/healthy_distribution.py --train`: plain networks of width 64 on scikit-learn's
digits, 300 steps of Adam, the better of two learning rates; a healthy start reaches 0.96. *Zoo* is the same script's
measurement over the healthy models of `tests/helpers/healthy.py`.
"""


class Threshold(float):
    """A number with its justification in `why`."""

    why: str

    def __new__(cls, value: float, why: str) -> "Threshold":  # noqa: D102
        number = super().__new__(cls, value)
        number.why = why
        return number


# --- forward -------------------------------------------------------------------------------------------------------

COLLAPSE_WARNING = Threshold(
    1e-7,
    "Variance between samples over mean square at the output. Digits: 0.96 at 3e-3, 0.93 at 3e-5, 0.87 to 0.92 at "
    "2e-6, 0.71 to 0.74 at 3e-8 (ReLU, 6, 8, 10, 12 layers). Lowest of the zoo: 1e-4 (autoencoder).",
)
COLLAPSE_ERROR = Threshold(
    1e-12,
    "float32 rounds at 6e-8, so from (6e-8)^2 = 4e-15 on samples differ by rounding only. Digits: 0.24 to 0.36 at "
    "2e-14 (ReLU, 20 layers), 0.17 to 0.20 at 9e-14 (tanh, 30), 0.10 = chance at 2e-15 (ReLU, 30).",
)
VANISHING_WARNING = Threshold(
    1e-10,
    "Variance between samples at the input of the output head over that of the model's input (or 1 if that is "
    "larger). Digits: 0.96 at 4e-4, 0.93 at 1e-6, 0.43 to 0.55 at 4e-12 (ReLU, 10 layers, He times 0.7, 0.5, 0.25)."
    " Lowest of the zoo: 1e-5 (tied language model).",
)
VANISHING_ERROR = Threshold(1e-14, "Digits: 0.10 to 0.26 at 4e-16 (ReLU, 10 layers, He times 0.15).")
EXPLOSION_WARNING = Threshold(
    100.0,
    "RMS at the output head over that of the input (or 1 if that is larger). Digits: 0.72 at 200, 0.65 at 4000 "
    "(ReLU, 10 layers, He times 1.5 and 2), against 0.96. Highest of the zoo: 2.",
)
EXPLOSION_ERROR = Threshold(
    1e6,
    "A loss and a gradient of this size: one step of plain SGD at learning rate 1e-3 changes the output by far more"
    " than its own level, and float16 has overflowed (65504).",
)
DEAD_SHARE = Threshold(
    0.8,
    "Share of units that are 0 for every sample. Correlated samples switch off half of the units in deep ReLU "
    "networks that do train (He, 50 layers: 0.4). Highest of the zoo: 0.62 (a squeeze of 8 units).",
)
DEAD_SAMPLES = Threshold(
    32, "Samples times positions that a unit must be 0 for: a unit that is on half of the time is missed with 2^-32."
)
DEAD_UNITS = Threshold(
    32, "Of fewer units many may be dead by chance: where each is with probability 1/2, 26 of 32 are with 3e-4."
)
SATURATED_WARNING = Threshold(
    0.5,
    "Share of entries in the flat part of a tanh or sigmoid; SageMaker Debugger's limit of a layer. Highest of the "
    "zoo: 0.02; a standard normal before tanh gives 0.008.",
)
SATURATED_ERROR = Threshold(0.98, "Of the gradient that arrives, less than 1 in 50 entries passes this site.")
GROWTH_WARNING = Threshold(
    30.0,
    "Mean square of a residual stream at its last branch over that at its first and at its middle branch. Branches "
    "that add the same variance each, as in every pre-norm network, give 2, and 4 where they add fully correlated "
    "amounts; branches that double it give 2^(n/2). Highest of the zoo: 3.",
)
GROWTH_BRANCHES = Threshold(8, "Fewer branches show no law of growth.")
GROWTH_ERROR = Threshold(1e8, "A branch is drowned in rounding (float32: 6e-8 of the RMS, bfloat16 far earlier).")

# --- backward ------------------------------------------------------------------------------------------------------

GRADIENT_VANISHING_WARNING = Threshold(
    1e-3,
    "Largest ||g|| ||W|| over the first quarter of the depth, over the same of the last quarter. The product does "
    "not change when a weight is scaled and the change is undone elsewhere. Digits: 0.9 at 2e-2, 0.19 to 0.59 at "
    "5e-4 (tanh, 20 layers), 0.3 at 4e-6 (ReLU, 20). Lowest of the zoo: 0.3.",
)
GRADIENT_VANISHING_ERROR = Threshold(1e-7, "Digits: 0.10 = chance at 1e-8 (GELU, 20 layers) and 7e-9 (ReLU, 30).")
GRADIENT_EXPLODING_WARNING = Threshold(
    50.0,
    "The same ratio. Digits: 0.91 at 3, 0.78 at 11, 0.23 at 120 (orthogonal tanh, gain 2 and 3, 10 to 20 layers). "
    "Highest of the zoo without residual branches: 5.",
)
GRADIENT_EXPLODING_ERROR = Threshold(1e3, "Digits: 0.12 at 3000 (orthogonal tanh, gain 5, 20 layers); chance is 0.10.")
GRADIENT_RESIDUAL_SLACK = Threshold(
    200.0,
    "In networks with residual branches the limits of an exploding gradient are this much wider. ResNets with batch"
    " normalization that train well have ratios of 90, 400 and 1,700 at 50, 101 and 152 layers (widths 32 to 64), "
    "where a plain network of the same ratio does not train: the skip path keeps a usable gradient.",
)
GRADIENT_DEPTH = Threshold(4, "Weights on the longest path: with fewer there is no first and last quarter.")
UNTRAINED_ERROR = Threshold(
    0.5, "Share of the trainable numbers that get no gradient: most of the model stays as it is."
)

# --- initialization ------------------------------------------------------------------------------------------------

EQUAL_GRADIENT = Threshold(
    1e-3, "Gradient rows of equal units differ by rounding only: relative to their size, far above float32's 1e-7."
)
IDENTICAL_ERROR = Threshold(0.5, "Share of the units of a weight that have an identical twin.")
IDENTICAL_WARNING = Threshold(0.1, "The same share: a tenth of the width is lost.")

# --- loss ----------------------------------------------------------------------------------------------------------

LOSS_FACTOR = Threshold(
    2.0,
    "Initial cross-entropy over that of guessing. Normal logits of standard deviation s give ln C + s^2 / 2. "
    "Highest of the zoo: 1.2 (GPT-2 from scratch: 11.0 over 10.8).",
)
LOSS_EXCESS = Threshold(1.0, "Nats above guessing that must be exceeded as well: logits of standard deviation 1.4.")
LOSS_BELOW = Threshold(0.5, "Initial cross-entropy over the labels' entropy: the model knows the labels already.")
