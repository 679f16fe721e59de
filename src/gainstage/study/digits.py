"""Handwritten digits as the demo and the lessons use them: pixel by pixel, without a validation part."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gainstage.study._errors import StudyError


@dataclass(frozen=True)
class Digits:
    """Pixels, standardized with the statistics of the training images, and the digit of each image."""

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor

    @property
    def classes(self) -> int:
        """How many different digits there are."""
        return int(self.y.max()) + 1


def digits(seed: int) -> Digits:
    """1,797 images of 8 by 8 pixels; a fifth of them, drawn with `seed` and stratified, is kept for the test.

    Raises:
        StudyError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ModuleNotFoundError:
        raise StudyError('the digits need scikit-learn. Write: pip install "gainstage[study]"') from None
    pixels, labels = load_digits(return_X_y=True)
    x, test_x, y, test_y = train_test_split(pixels, labels, test_size=0.2, random_state=seed, stratify=labels)
    mean, spread = x.mean(0), x.std(0)
    spread[spread == 0] = 1  # pixels at the border that no training image uses
    return Digits(
        torch.tensor((x - mean) / spread, dtype=torch.float32),
        torch.tensor(y, dtype=torch.long),
        torch.tensor((test_x - mean) / spread, dtype=torch.float32),
        torch.tensor(test_y, dtype=torch.long),
    )
