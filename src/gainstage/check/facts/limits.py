"""The numbers that several rules compare with. Every other stands in the file of its rule."""

from gainstage.check.quantity import Limit, Quantity

COLLAPSE = Quantity(
    "variance between samples over mean square at the output, over the same at the input (or 1 if that is larger)",
    warning=Limit(
        1e-5,
        "Digits: 0.96 at 5e-3, 0.92 at 7e-5, 0.69 to 0.91 at 4e-6, 0.57 to 0.69 at 5e-8 (ReLU, 6, 8, 10, 12 "
        "layers); by plain descent at 0.1 chance after 1,000 steps at 2e-6. Zoo: lowest 1e-4 (autoencoder), besides "
        "LayerScale.",
    ),
    error=Limit(
        1e-12,
        "float32 rounds at 6e-8, so from (6e-8)^2 = 4e-15 on samples differ by rounding only. Digits: 0.36 to 0.43 "
        "at 4e-14 (ReLU, 20 layers), 0.20 at 2e-13 (tanh, 30), 0.10 = chance at 3e-15 (ReLU, 30).",
    ),
)
SATURATED = Quantity(
    "share of the entries in the flat part of a tanh or sigmoid",
    warning=Limit(
        0.5,
        "SageMaker Debugger's limit of a layer. A standard normal before tanh gives 0.008. Zoo: highest 0.02 (tied "
        "autoencoder).",
    ),
    error=Limit(0.98, "Of the gradient that arrives, less than 1 in 50 entries passes this site."),
)
LEAK = Quantity(
    "change of a sample's output when other samples change, over the differences between samples",
    warning=Limit(1e-3, "In evaluation mode it is 0; rounding gives 1e-6."),
)
LOSS = Quantity(
    "cross-entropy at the start over that of guessing",
    note=Limit(
        2.0,
        "Normal logits of standard deviation s give ln C + s^2 / 2. Zoo: highest 2.0 (CLIP on 8 pairs), 1.9 "
        "(pre-norm transformer).",
    ),
)
FLOOR = Quantity(
    "smallest loss that bounded logits permit, over that of guessing",
    note=Limit(0.1, "Cosines over a temperature of 0.1 permit 1e-8."),
    warning=Limit(
        0.48,
        "Digits, Adam and SGD: 0.96 and 0.95 without a bound or at 0.35 (tanh, 10 classes) and 0.45 (tanh, 2 "
        "classes); 0.95 and 0.86 at 0.63 (sigmoid, 10 classes), 0.91 and 0.48 with the small gradient of a softmax.",
    ),
    error=Limit(
        0.8,
        "Behind a second softmax, reached at 80 classes: e / (e + C - 1) = 0.03 is the most that it can say.",
    ),
)
PLAIN_STEP = Quantity(
    "update over weight of one step of plain SGD",
    warning=Limit(1.0, "The step replaces the weight. That of a loss that is the mean of its samples is below."),
)
DROPOUT_RATE = Quantity(
    "probability of dropping",
    note=Limit(
        0.8,
        "Published hidden rates end at 0.7; TSN and MobileNet v2 use 0.8 before their heads, the highest of the zoo.",
    ),
    warning=Limit(
        0.9,
        "Digits, 2 hidden layers, Adam: 0.96 without, at 0.9 0.55 (width 64) and 0.94 (512, against 0.97); at 0.95 "
        "0.12 and 0.87.",
    ),
)
RATIO_HIGH = Quantity(
    "median of update over weight",
    note=Limit(
        0.3,
        "The literature names 1e-3 as usual and 1e-1 as high (TheDeepChecker). Zoo with Adam at 1e-3: highest 0.17 "
        "(SIREN), then 0.11.",
    ),
)
DEAD_SAMPLES = Limit(
    32,
    "Samples times positions that a unit must be 0 for: a unit that is on half of the time is missed with 2^-32.",
)
GRADIENT_DEPTH = Limit(4, "Weights on the longest path: with fewer there is no first and last quarter.")
CONSTANT_SAMPLES = Limit(32, "Labels that are all equal: with two classes alike this happens once in 2^31 batches.")
