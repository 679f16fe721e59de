"""Make the model zoos of `tests/helpers` importable, and keep torch from using more threads than the tests have."""

import os
import sys
from pathlib import Path

import pytest
import torch

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
