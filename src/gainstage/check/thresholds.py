"""Every number that a rule compares with, and where it comes from.

*Digits* below are short trainings on scikit-learn's digits by `benchmarks/limits.py` (data and losses:
`benchmarks/data_and_loss.py`): accuracy after 300 steps, where a healthy network reaches 0.96 and chance is 0.10.
*Zoo* is the extreme over the healthy models of the tests, by `benchmarks/healthy_distribution.py`. The outputs of these
scripts are kept in `benchmarks/results`. An extreme beyond a threshold is silent by another condition of the rule.
"""


class Threshold(float):
    """A number with its justification in `why`."""

    why: str

    def __new__(cls, value: float, why: str) -> "Threshold":  # noqa: D102
        number = super().__new__(cls, value)
        number.why = why
        return number


# --- initialization (INI) --------------------------------------------------------------------------------------------

EQUAL_GRADIENT = Threshold(
    1e-3, "Gradient rows of equal units differ by rounding only: relative to their size, far above float32's 1e-7."
)
IDENTICAL_ERROR = Threshold(0.5, "Share of the units of a weight that have an identical twin.")
IDENTICAL_WARNING = Threshold(0.1, "The same share: a tenth of the width is lost.")
SCALE_SMALL = Threshold(
    0.3,
    "Standard deviation of a weight over gain / sqrt(fan_in). torch's default gives 0.31 (sigmoid) to 0.58 (linear), "
    "0.41 behind ReLU. Lower ones alone say nothing. Zoo: lowest 0.05 (SIREN), 0.09 (weights of 0.02).",
)
SCALE_LARGE = Threshold(
    3.0,
    "The same. A gain of 5/3 without activation gives 1.7, torch.randn 6 at width 64. Zoo: highest 3.2 (RegNet's "
    "squeeze, drawn by fan_out), then 1.5 (PVT).",
)
FAN_FACTOR = Threshold(
    2.0, "Scale by the wrong fans over that by the right ones; below it, the usual laws differ as much."
)
FAN_ENTRIES = Threshold(
    256, "Entries of a weight whose law is to be recognized: their standard deviation is known to 4 %, at one sigma."
)
DRAWN_DEPTH = Threshold(
    10,
    "Normalizations in a row with scales from N(0, 0.02). Digits, Adam and SGD, weights drawn alike: 0.97 and 0.96 "
    "with 6, 0.64 and 0.45 with 12 batch normalizations; 0.09 and 0.09 with 12 layer normalizations.",
)
DRAWN_ENTRIES = Threshold(
    8, "Entries of a scale, from which a mean and a scatter can be told; scales around 1 have a mean of 50 scatters."
)
FORGET_BIAS = Threshold(0.5, "Half of the recommended 1; torch's default is the sum of two uniform numbers around 0.")
FORGET_STEPS = Threshold(
    30, "Steps: a gate at one half keeps 2^-30 = 1e-9 of the cell's gradient, below float32's rounding."
)
GARBAGE_HUGE = Threshold(1e10, "No weight that is meant is as large; random bits of float32 are beyond it to 37 %.")
GARBAGE_TINY = Threshold(
    1e-20, "No start draws numbers as small, except 0; random bits of float32 are below it to 24 %."
)
GARBAGE_SHARE = Threshold(0.01, "Tiny entries beside huge ones. A normal law gives 1e-20 once in 1e18 draws.")
TIED_LOGITS = Threshold(
    3.0, "RMS of the logits: a first loss of about ln C + 4.5. Zoo: highest 1.0 (T5), then 0.83 (Mamba)."
)

# --- forward (FWD) ---------------------------------------------------------------------------------------------------

COLLAPSE_WARNING = Threshold(
    1e-7,
    "Variance between samples over mean square at the output. Digits: 0.96 at 5e-3, 0.92 at 7e-5, 0.69 to 0.91 at "
    "4e-6, 0.57 to 0.69 at 5e-8 (ReLU, 6, 8, 10, 12 layers). Zoo: lowest 1e-4 (autoencoder), besides LayerScale.",
)
COLLAPSE_ERROR = Threshold(
    1e-12,
    "float32 rounds at 6e-8, so from (6e-8)^2 = 4e-15 on samples differ by rounding only. Digits: 0.36 to 0.43 at "
    "4e-14 (ReLU, 20 layers), 0.20 at 2e-13 (tanh, 30), 0.10 = chance at 3e-15 (ReLU, 30).",
)
VANISHING_WARNING = Threshold(
    1e-10,
    "Variance between samples at the input of the output head over that of the model's input (or 1 if that is "
    "larger). Digits: 0.95 to 0.97 at 8e-4, 0.94 at 2e-6, 0.52 to 0.68 at 3e-9, 0.28 to 0.66 at 7e-12 (ReLU, 10 "
    "layers, He times 0.7, 0.5, 0.35, 0.25). Zoo: lowest 4e-7 (SEW), besides LayerScale.",
)
VANISHING_ERROR = Threshold(1e-14, "Digits: 0.20 at 7e-16 (ReLU, 10 layers, He times 0.15).")
UNDERFLOW = Threshold(
    1e-30,
    "Mean square of a signal that is lost in float32, whose squares end at 1e-38. A ReLU behind it is 0 everywhere "
    "without any fault of its own: 50 layers of width 64 at standard deviation 0.01 multiply it by 1e-110.",
)
EXPLOSION_WARNING = Threshold(
    100.0,
    "RMS at the output head over that of the input (or 1 if that is larger). Digits: 0.73 at 200, 0.63 to 0.69 at "
    "4,000 (ReLU, 10 layers, He times 1.5 and 2). Zoo: highest 5 (a pyramid of features), then 2.",
)
EXPLOSION_ERROR = Threshold(
    1e6,
    "A loss and a gradient of this size: one step of plain SGD at learning rate 1e-3 changes the output by far more "
    "than its own level, and float16 has overflowed (65504).",
)
DEAD_SHARE = Threshold(
    0.8,
    "Share of units that are 0 for every sample. Correlated samples switch off many units of deep ReLU networks that "
    "do train: digits (He), 0.87 to 0.90 at 0.36 (30 layers), 0.60 to 0.67 at 0.53 (50). Zoo: highest 0.56 "
    "(autoencoder).",
)
DEAD_SAMPLES = Threshold(
    32, "Samples times positions that a unit must be 0 for: a unit that is on half of the time is missed with 2^-32."
)
DEAD_UNITS = Threshold(
    32, "Of fewer units many may be dead by chance: where each is with probability 1/2, 26 of 32 are with 3e-4."
)
SATURATED_WARNING = Threshold(
    0.5,
    "Share of entries in the flat part of a tanh or sigmoid; SageMaker Debugger's limit of a layer. A standard normal "
    "before tanh gives 0.008. Zoo: highest 0.02 (tied autoencoder).",
)
SATURATED_ERROR = Threshold(0.98, "Of the gradient that arrives, less than 1 in 50 entries passes this site.")
GROWTH_WARNING = Threshold(
    1e3,
    "Mean square of a residual stream at its last branch over that at its first and at its middle branch. Branches "
    "that add the same variance each, as in every pre-norm network, give 2, and 4 where they add fully correlated "
    "amounts; branches that double it give 2^(n/2). Zoo: highest 3. Of 88 architectures of timm at their default "
    "start: 304 (CoaT, whose blocks add three scales), 63 (XCiT).",
)
GROWTH_BRANCHES = Threshold(8, "Fewer branches show no law of growth.")
GROWTH_ERROR = Threshold(1e8, "A branch is drowned in rounding (float32: 6e-8 of the RMS, bfloat16 far earlier).")
PEAKED_SOFTMAX = Threshold(
    0.9,
    "Mean of the sum of squared softmax weights: 0.5 for two equal entries, 1 for one. Zoo, 8 entries or more: "
    "highest 0.73 (a Transformer of torch, embeddings times sqrt(d)), then 0.22 (Bloom, 16 keys).",
)
PEAKED_KEYS = Threshold(8, "Over fewer entries a softmax is a gate, which may be decided.")
LARGE_LOGITS = Threshold(
    3.0,
    "Estimated RMS of fused logits from which on the softmax itself is looked at. Zoo: highest 13 (the same "
    "Transformer), then 1.1 (SigLIP).",
)
UNIFORM_ATTENTION = Threshold(
    1e-5, "||g|| ||W|| of queries and keys over that of the values. Zoo: lowest 2e-5 (ViT-MAE), then 2e-4 (ELECTRA)."
)
SQUEEZED_SOFTMAX = Threshold(
    1.0,
    "Variance between samples of a softmax over K units, times K^2: logits of standard deviation s give s^2 where "
    "they are small. Digits, Adam at 1e-3 and SGD at 0.1: 0.77 and 0.13 at 0.2, 0.61 and 0.08 at 0.02, 0.95 behind "
    "ReLU.",
)
NARROW_UNITS = Threshold(
    2,
    "Digits, the best of three rates: 0.36 and 0.76 with 1 and 2 units between layers of 64, 0.95 with 4, 0.97 "
    "without.",
)
NARROW_WIDE = Threshold(8, "How many times as wide the layers before and behind are.")

# --- backward (BWD) --------------------------------------------------------------------------------------------------

GRADIENT_VANISHING_WARNING = Threshold(
    1e-3,
    "Largest ||g|| ||W|| over the first quarter of the depth, over the same of the last quarter. The product does not "
    "change when a weight is scaled and the change is undone elsewhere. Digits: 0.69 to 0.93 at 2e-2 (ReLU, 10 "
    "layers, and GELU, 8), 0.20 at 5e-4 (tanh, 20), 0.36 to 0.43 at 4e-6 (ReLU, 20). Zoo: lowest 0.06 (masked "
    "autoencoder), besides LayerScale.",
)
GRADIENT_VANISHING_ERROR = Threshold(
    1e-7, "Digits: 0.10 to 0.11 = chance at 1e-8 (GELU, 20 layers) and 2e-8 (ReLU, 30)."
)
GRADIENT_EXPLODING_WARNING = Threshold(
    50.0,
    "The same ratio, of the last quarter's largest. Digits: 0.92 to 0.95 at 3, 0.82 at 11, 0.21 to 0.25 at 120 "
    "(orthogonal tanh, gain 2 and 3, 10 to 20 layers). Zoo without short paths: highest 22 (a reversed gradient), "
    "then 5.",
)
GRADIENT_EXPLODING_ERROR = Threshold(1e3, "Digits: 0.11 at 3,000 (orthogonal tanh, gain 5, 20 layers); chance is 0.10.")
GRADIENT_RESIDUAL_SLACK = Threshold(
    200.0,
    "In networks with residual branches or concatenated paths the limits of an exploding gradient are this much "
    "wider: the short path keeps a usable gradient. Digits, enlarged, 150 steps: bottleneck ResNets with batch "
    "normalization reach 0.85, 0.74 and 0.68 at ratios of 56, 210 and 430 (50, 101, 152 layers), where a plain "
    "network fails. Inception v4 (timm) has 281 at its default start. Zoo: highest 81 (ResNet-50).",
)
GRADIENT_DEPTH = Threshold(4, "Weights on the longest path: with fewer there is no first and last quarter.")
UNTRAINED_ERROR = Threshold(
    0.5, "Share of the trainable numbers that get no gradient: most of the model stays as it is."
)
CONCENTRATED = Threshold(
    1e-6,
    "Share of the squared effect that is left to all other weights: their gradients are below a thousandth. Zoo: "
    "lowest 1e-6 (class attention with LayerScale), then 3e-4 (a wide and deep model).",
)

# --- normalization (NRM) ---------------------------------------------------------------------------------------------

FEW_VALUES_WARNING = Threshold(
    3,
    "Values a channel. Digits, Adam: 0.55 with 2, 0.84 with 3, 0.90 with 4; without normalization 0.90 to 0.91. Zoo: "
    "lowest 8.",
)
FEW_VALUES_NOTE = Threshold(5, "The same: 0.93 with 5 and 6, where 0.97 is reached with 32.")
LEAK = Threshold(
    1e-3, "Change of an output when other samples change, over the differences between samples; rounding gives 1e-6."
)
STALE_RATIO = Threshold(
    10.0,
    "Variance of the batch over the stored one, median of the channels; that of one channel over 8 samples is within "
    "0.15 to 2.3 (98 %).",
)
STALE_SHIFT = Threshold(3.0, "Batch mean minus stored mean in stored standard deviations, median of the channels.")
MOMENTUM_HIGH = Threshold(
    0.9,
    "Weight of the last batch. PyTorch's default is 0.1; 0.9, 0.99 and 0.997 are weights of the old value elsewhere.",
)
GAP_FACTOR = Threshold(2.0, "Loss in evaluation mode over that in training mode, without dropout.")
GAP_SHARE = Threshold(
    0.25, "A quarter of what the model has learned, its distance from guessing in training mode, is lost in evaluation."
)
GAP_LEARNED = Threshold(0.8, "Loss in training mode over that of guessing, from which on the model knows something.")

# --- output (OUT) ----------------------------------------------------------------------------------------------------

LOSS_FACTOR = Threshold(
    2.0,
    "Initial cross-entropy over that of guessing. Normal logits of standard deviation s give ln C + s^2 / 2. Zoo: "
    "highest 2.0 (CLIP on 8 pairs), 1.9 (pre-norm transformer).",
)
LOSS_EXCESS = Threshold(
    1.0, "Nats above guessing that must be exceeded as well: logits of standard deviation 1.4. Zoo: highest 2.0 (CLIP)."
)
LOSS_HARM = Threshold(
    10.0,
    "Nats above guessing that cost accuracy. Digits (3 layers, the head scaled up, Adam and SGD at the best rates): "
    "0.97 to 0.98 at a loss of 2.3 to 8.2, 0.96 at 16, 0.95 and 0.96 at 40, 0.94 and 0.12 at 200. Of real "
    "architectures with 10 classes at their default start (timm) MNASNet has 11.2, MixNet 4.9.",
)
LOSS_BELOW = Threshold(
    0.5,
    "Initial cross-entropy over the labels' entropy: the model knows the labels already. Zoo: 0.1 trained; else "
    "lowest 0.34 (contrastive).",
)
REGRESSION_FACTOR = Threshold(
    30.0,
    "Initial squared error over that of answering the mean, where answering 0 is better. Digits (a smooth target of "
    "standard deviation s, R^2): 0.99 at 0.8 (s = 1), 0.97 at 3 (s = 0.1), 0.19 at 220 (s = 0.01). Zoo: highest 10 "
    "(ages).",
)
FLOOR_NOTE = Threshold(
    0.1, "Smallest loss that bounded logits permit, over that of guessing. Cosines over a temperature of 0.1 give 1e-8."
)
FLOOR_WARNING = Threshold(
    0.48,
    "Digits, Adam and SGD: 0.96 and 0.95 without a bound or at 0.35 (tanh, 10 classes) and 0.45 (tanh, 2 classes); "
    "0.95 and 0.86 at 0.63 (sigmoid, 10 classes), 0.91 and 0.48 with the small gradient of a softmax.",
)
FLOOR_ERROR = Threshold(
    0.8, "Behind a second softmax, reached at 80 classes: e / (e + C - 1) = 0.03 is the most that it can say."
)
UNREACHABLE_WARNING = Threshold(
    0.02, "Share of the targets' variance that no output within the bounds can explain: noise around a bound is less."
)
UNREACHABLE_ERROR = Threshold(
    0.3, "The same. Standardized targets: 0.5 behind a ReLU, 0.58 behind a sigmoid, 0.15 behind a tanh."
)
UNSEEN_CHANCE = Threshold(1e-6, "Probability that the labels leave out all of the last classes by chance.")
SUMMED_RATIO = Threshold(
    1.0,
    "Update over weight of one step of plain SGD on a summed loss: the step replaces the weight. The mean's is below.",
)

# --- data (DAT) ------------------------------------------------------------------------------------------------------

INPUT_LARGE = Threshold(
    30.0,
    "RMS of what the first weight multiplies. Digits, Adam: 0.96 at 1, 0.97 at 10, 0.96 at 30, 0.93 at 1000. SGD "
    "fails at its usual rate from 30 on (0.28 instead of 0.95 at 0.1). Zoo: highest 2.2.",
)
INPUT_RAISED = Threshold(
    3.0,
    "The same, where harm is measured besides: names the cause of an initial loss that is too high. Raw digits, 0 to "
    "16: RMS 7.8, initial cross-entropy 4.5 to 12.4 with Glorot's weights at width 64, 2.3 to 2.5 when divided by 16.",
)
INPUT_SMALL_WARNING = Threshold(
    0.02,
    "Standard deviation between samples at the same place. Digits: 0.96 at 1, 0.91 at 0.1, 0.64 at 0.01. Zoo: lowest "
    "RMS 0.15.",
)
INPUT_SMALL_ERROR = Threshold(2e-3, "Digits: 0.09, chance, at 1e-3 (ReLU); 0.20 with tanh.")
GATE_LEVEL = Threshold(
    5.0, "RMS of what a gate reads: a sigmoid's slope there is below 3 % of its largest, a tanh's below 1 %."
)
DROWNED = Threshold(
    0.05,
    "Variance between samples over mean square behind the first weight. Digits: 0.4 at an RMS of 0.1, 6e-3 at 0.01.",
)
OFFSET_WARNING = Threshold(
    10.0,
    "RMS of the mean over the samples, over the standard deviation between samples. Digits, ReLU and tanh: 0.93 and "
    "0.95 at 3, 0.71 and 0.85 at 10. Pixels of photographs: 1 to 3. Zoo: highest 1.8.",
)
OFFSET_ERROR = Threshold(30.0, "Digits: 0.17 and 0.46 at 30, 0.12 and 0.25 at 100; chance is 0.10.")
COLUMNS_WARNING = Threshold(
    50.0,
    "Largest over median standard deviation of the input's columns. Digits with 1, 4, 16 of 64 columns scaled: 0.95, "
    "0.93, 0.91 by 10; 0.94, 0.85, 0.85 by 30; 0.85, 0.65, 0.81 by 100; 0.23, 0.55, 0.79 by 1000. Zoo: highest 6 "
    "(digits on black).",
)
COLUMNS_ERROR = Threshold(500.0, "The same, between 100 and 1000 with one column scaled.")
TARGET_STEPS = Threshold(
    2e3,
    "Steps of 1e-3 in every parameter that reach the targets to first order, loss over 1e-3 times the sum of |g|. "
    "Digits (a smooth target of standard deviation s, Adam and SGD, R^2): 0.99 and 0.98 at 25 (s = 1), 0.98 and 0.97 "
    "at 830 (s = 30); 0.96 and at best 0 at 2,800 (s = 100); 0.77 and -9 at 28,000, 0.25 at 280,000. Zoo: highest "
    "1,200 (ages).",
)
TARGET_STEPS_ERROR = Threshold(1e5, "The same, between the last two.")
TARGET_OFFSET = Threshold(
    300.0,
    "Initial squared error over the variance of the targets. Targets of standard deviation 1 and mean m: 0.93 at 9 (m "
    "= 3), 0.85 at 99 (m = 10), -1.1 at 900 (m = 30). Zoo: highest 10 (ages).",
)
TARGET_OFFSET_STEPS = Threshold(
    100.0, "Steps, as above, that must be exceeded as well: a small offset is soon learned."
)
CONSTANT_SAMPLES = Threshold(32, "Labels that are all equal: with two classes alike this happens once in 2^31 batches.")
LABEL_INFORMATION = Threshold(
    0.01,
    "What binary targets tell about single samples, in units of ln 2: loss of the best constant minus smallest loss. "
    "Balanced labels: 1; balanced labels divided by 255: 4e-3.",
)
DUPLICATES = Threshold(0.1, "Share of the samples that repeat another one.")

# --- regularization (REG) --------------------------------------------------------------------------------------------

DROPOUT_HIGH = Threshold(
    0.8,
    "Rate from which a dropout is looked at. Published hidden rates end at 0.7; TSN and MobileNet v2 use 0.8 before "
    "their heads, the highest of the zoo.",
)
DROPOUT_WARNING = Threshold(
    0.9,
    "Digits, 2 hidden layers, Adam: 0.96 without, at 0.9 0.55 (width 64) and 0.94 (512, against 0.97); at 0.95 0.12 "
    "and 0.87.",
)
DROPOUT_KEPT_WARNING = Threshold(
    16.0,
    "Units that a sample keeps on average. Digits, width 64: 0.92 with 19, 0.83 with 13, 0.55 with 6; 0.96 with all.",
)
DROPOUT_KEPT_ERROR = Threshold(4.0, "Digits: 0.12 = chance with 3 of 64, 0.46 with 3 of 16.")
DROPOUT_CHANGE = Threshold(
    1e-3,
    "Change of the outputs over their differences between samples; without dropout both runs are equal bit by bit.",
)
PENALTY_WARNING = Threshold(
    1.5,
    "Norm of the penalty's gradient over that of the data's, at the start. Digits, SGD and Adam with L2: 0.97 and "
    "0.96 at 0.08, 0.93 and 0.93 at 0.8, 0.78 and 0.85 at 1.5. A trained model at the balance of both shows 1.",
)
PENALTY_ERROR = Threshold(3.0, "Digits: 0.09 and 0.08 = chance at 3.1.")
PENALTY_RATE = Threshold(
    0.01,
    "The weight decay that the penalty amounts to. Usual ones are 1e-5 to 5e-3; weaker ones take long to act, "
    "whatever their ratio. Zoo with a decay of 5e-4: ratios up to 3.6 (SEW), 95 % below 0.15.",
)
DROPBLOCK_FACTOR = Threshold(
    1.25, "Dropped over asked share. timm delivers 1.4 to 2 times the rate, torchvision 0.7 to 0.94 (FACTS, 14 x 14)."
)
SMOOTHING_HIGH = Threshold(
    0.5, "Half of the target's mass on classes that are wrong; published values are 0.05 to 0.2."
)

# --- optimizer (OPT) -------------------------------------------------------------------------------------------------

ASCENT = Threshold(
    0.01,
    "Sum of gradient times change over the sum of the products of their norms. A step of plain descent gives -1, its "
    "negative 1; momentum of other batches and decay make it any number near 0.",
)
RATE_FURTHER = Threshold(
    16, "Further steps on one batch, of which the better half counts: oscillations of momentum 0.9 last about 10."
)
RATE_HIGH_ERROR = Threshold(
    0.1,
    "Rise of the lowest loss of the second half over the loss before; any rise is a warning. Digits (ReLU, 2 and 4 "
    "layers): 0.09 to 0.10 = chance wherever the loss is still above its start (Adam at 1; SGD at 3 and 10).",
)
RATE_HIGH_PEAK = Threshold(
    10.0,
    "Rise of the highest loss. Digits: 0.68 and less where it is 10 or more; below, 0.95 at 1 and 0.59 at 5 (Adam at "
    "0.1, 2 and 4 layers), but 0.09 at 4 as well (SGD at 0.3 with momentum, 4 layers).",
)
RATE_HIGH_GAIN = Threshold(
    0.2,
    "Fall of the lowest loss of the second half, below which a peak is harm. Digits: 0.09 to 0.11 at 0.04 to 0.14 "
    "after a peak (Adam at 0.3, 4 layers; SGD at 3 and 10), 0.24 at 0.29 and 0.68 at 0.53 (Adam at 1 and 0.3, 2 "
    "layers).",
)
NEGLIGIBLE_STEP = Threshold(
    1e-6,
    "Share of the loss that one step takes away to first order, momentum counted: at most 1 % in 10,000 steps. Zoo: "
    "lowest 1e-4 with Adam at 1e-3; 2e-7 (words by negative sampling) with SGD at 0.01 and momentum 0.9.",
)
SMALL_STEP = Threshold(1e-5, "The same share, for a note: 10 % in 10,000 steps.")
RATE_LOW_FACTOR = Threshold(1e3, "How many times as long a step is tried; the usual rates span 1e-5 to 1.")
RATE_LOW_GAIN = Threshold(
    0.5,
    "Fall of the loss at the longest step over what the slope at the start predicts: above, it still falls in "
    "proportion, so the best step is longer still; a parabola is at its lowest where it has fallen by this much.",
)
ROUNDED_WARNING = Threshold(
    0.99, "Share of the entries with a gradient that a step leaves bit for bit; the step is below the rounding of most."
)
RATIO_HIGH = Threshold(
    0.3,
    "Median of update over weight. The literature names 1e-3 as usual and 1e-1 as high (TheDeepChecker). Zoo with "
    "Adam at 1e-3: highest 0.17 (SIREN), then 0.11.",
)
RATIO_LOW = Threshold(
    1e-5,
    "The same, momentum counted; the literature names 1e-4 as low. Zoo, 5 and 95 %: 6e-3 to 0.05 with Adam at 1e-3, "
    "2e-4 to 0.1 with SGD at 0.01 and momentum 0.9.",
)
CLIPPED = Threshold(
    100.0,
    "Norm of the gradient as it arrives over as it is used. Of the zoo, clipped at 1, 0.07 to 14 (5 and 95 %); "
    "highest 1e4 (DeiT).",
)
RATE_FALL = Threshold(0.96, "Learning rate over that of the step before: 0.96^100 = 0.02.")
EPSILON_NOTE = Threshold(0.5, "Share of the gradient's entries below eps: the typical entry is not rescaled.")
EPSILON_WARNING = Threshold(0.99, "Share below a tenth of eps: no more than 1 % of the steps has the size asked for.")
BETA_HIGH = Threshold(0.99, "An average over 100 steps; 0.9 is usual.")
SQUARES_LOW = Threshold(0.9, "An average over 10 steps; 0.95 to 0.999 are usual.")
SQUARES_HIGH = Threshold(0.9999, "An average over 10,000 steps, more than many trainings have.")

# --- trainability (TRN) ----------------------------------------------------------------------------------------------

OVERFIT_SAMPLES = Threshold(16, "One small batch, as TheDeepChecker and Karpathy's recipe use it.")
OVERFIT_STEPS = Threshold(
    150, "Steps of a run. Zoo, the best of three rates: half of the models need 16, 95 % at most 120."
)
OVERFIT_WARNING = Threshold(0.5, "Fall of a cross-entropy of labels below guessing that is asked for.")
OVERFIT_ERROR = Threshold(0.05, "A fall below this is none: the loss of the few samples stays where it is.")
OVERFIT_FALL = Threshold(
    0.005, "Fall of a loss whose lowest value is not known: that of soft labels of entropy 2.27 starts at 2.31."
)
CONTROL_STEPS = Threshold(
    50,
    "Steps of Adam at 3e-3 for each of three runs. Digits, half of 64 images: 0.78 to 0.91 on the other half, 0.00 to "
    "0.19 with shuffled labels.",
)
CONTROL_SAMPLES = Threshold(32, "Samples; half of them are predicted.")
CONTROL_ERRORS = Threshold(2.0, "Standard errors of the accuracy of guessing.")
REDRAWS = Threshold(
    100, "Starts: 15 layers of 5 units die in 13 to 18 of 100 by these draws, in 15 to 22 by fresh ones."
)
RISK = Threshold(
    0.05,
    "Share of dead starts from which on a seed is a gamble. Zoo: 0 of 20 starts, besides a zero head and a vector "
    "quantizer.",
)
