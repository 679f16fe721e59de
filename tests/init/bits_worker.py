"""The bits of every kind of stream in this process: `python bits_worker.py` prints one JSON line of digests."""

import json
from hashlib import md5

import torch

from gainstage import init

LAWS = {
    "normal": (init.normal(std=0.5), (300, 500)),
    "uniform": (init.uniform(-0.3, 0.6), (300, 500)),
    "truncated": (init.truncated_normal(std=0.02), (300, 500)),
    "lopsided": (init.trunc_normal(0.1, 1.3, -1.0, 1.4), (300, 500)),
    "square": (init.orthogonal(), (300, 300)),
    "tall": (init.orthogonal(1.7, scale="fan_in"), (700, 130)),
    "wide": (init.orthogonal(), (97, 401)),
    "large": (init.orthogonal(), (520, 400)),
    "heads": (init.orthogonal(heads=4), (64, 50)),
    "delta": (init.delta_orthogonal(), (64, 48, 3, 3)),
    "mirrored": (init.mirrored(), (128, 60)),
    "values": (init.mimetic("v", pair="attn"), (96, 96)),
    "queries": (init.mimetic("q", 3, pair="attn"), (96, 96)),
    "sparse": (init.sparse(0.5), (40, 60)),
}
WIDE = ("normal", "uniform", "lopsided", "square", "tall", "wide", "delta", "mirrored")  # in float64 too


def digests() -> dict[str, str]:
    """The first 16 digits of the MD5 of each law's numbers, in row-major order."""
    found = {name: digest(name, torch.float32) for name in LAWS}
    return found | {f"{name}, float64": digest(name, torch.float64) for name in WIDE}


def digest(name: str, dtype: torch.dtype) -> str:
    law, shape = LAWS[name]
    made = init.fill_(torch.empty(shape, dtype=dtype), law, seed=3, name="w")
    return md5(made.numpy().tobytes()).hexdigest()[:16]


if __name__ == "__main__":
    print(json.dumps(digests()))
