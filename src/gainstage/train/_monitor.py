"""Whether a metric is better when it falls or when it rises, by its name."""

import re
from typing import Literal

from gainstage.train._errors import TrainError

Mode = Literal["min", "max"]

_FALLING = frozenset(
    """loss losses cost error err mse rmse mae mape msle nll bce ce crossentropy entropy perplexity ppl wer cer fid kid
    lpips ece brier hinge huber kl kld bpc bpb bpd regret energy distance elapsed""".split()
)
_RISING = frozenset(
    """accuracy acc top1 top5 f1 fscore fbeta auc auroc auprc aupr ap map precision recall sensitivity specificity
    bleu rouge meteor chrf iou miou jaccard dice r2 reward return returns psnr ssim kappa mcc ndcg mrr hits correlation
    pearson spearman elbo likelihood""".split()
)
_TURNING = frozenset("negative neg minus inverse inverted".split())


def mode_of(metric: str) -> Mode:
    """`"min"` for a metric that should fall, `"max"` for one that should rise.

    The words of the name decide: `val_loss`, `MSE` and `perplexity` fall, `accuracy`, `val/f1` and `valAUC` rise.

    Args:
        metric: name of a metric.

    Raises:
        TrainError: no word of the name is known, or they disagree (`"neg_loss"`, `"score"`).

    Example:
        >>> mode_of("val_loss"), mode_of("test/top5-accuracy")
        ('min', 'max')
    """
    words = set(re.findall(r"[a-z]+[0-9]*", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", metric).lower()))
    falls, rises = words & _FALLING, words & _RISING
    if bool(falls) == bool(rises) or words & _TURNING:
        raise TrainError(
            f'the name {metric!r} does not say whether less or more is better: write mode="min" where it should fall, '
            'mode="max" where it should rise'
        )
    return "min" if falls else "max"
