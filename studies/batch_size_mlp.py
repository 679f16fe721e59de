"""How small may a batch be where a feature has one value a sample? BatchNorm and GroupNorm in an MLP, on digits.

    python studies/batch_size_mlp.py [--seeds 8] [--workers N]        about 2.5 minutes of one core

The claims and criteria of `batch_size.py` (Wu & He, *Group Normalization*, ECCV 2018), measured on another network. It
was added after the residual network there had shown no loss at small batches: with 2 images BatchNorm still averages
over 2 x 64 positions of a map, later 2 x 16.

What is measured: an MLP with three hidden layers of 64, where a batch of 2 leaves BatchNorm two values for each
feature, so that all it lets through is which of them is larger. GroupNorm has 8 groups of 8. All else is as in
`batch_size.py`: equal epochs, learning rates tuned at 32 and in proportion to the batch, the same margin. The paper
says nothing about such networks.
"""

from _common import arguments
from batch_size import study

if __name__ == "__main__":
    study(arguments(__doc__, seeds=8), "batch_size_mlp", __doc__, model="mlp", depth=3, width=64)
