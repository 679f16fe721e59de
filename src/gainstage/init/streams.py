"""Keyed streams: the random numbers of one parameter, a pure function of (seed, name, element index).

A stream is 128 bits: BLAKE2b-128 of the UTF-8 text `"{seed}:{name}"`, read as four little-endian 32-bit words. The
first two are the key of Philox 4x32-10, the last two the upper half of its counter; the lower half counts blocks of
four words. Two streams therefore never overlap unless all 128 bits of their hashes agree.

What a wrapper puts in front of a name (DDP, compile, checkpoint, FSDP) is no part of it: `bare_name`.

Element `i` of a parameter is made from one 32-bit word, in float64 from two (`_double_cpu.py`). Blocks are dealt out in
groups of 16, so that a vector unit writes whole registers: element `i` is word `(i % 64) // 16` of block
`16 * (i // 64) + i % 16`.
"""

from dataclasses import dataclass
from hashlib import blake2b
from struct import unpack

import torch

LANES = 16  # Philox blocks computed side by side
GROUP = 4 * LANES  # elements of one group
Words = tuple[int, int, int, int]


@dataclass(frozen=True)
class Stream:
    """The stream of one parameter.

    Args:
        seed: any integer.
        name: the parameter's name, any text.
        wide: numbers are made in float64, with the words of `name[low]` besides, and not in float32.

    Example:
        >>> Stream(0, "fc.weight").words()
        (2436007641, 843782244, 4140873212, 2442156590)
        >>> Stream(0, "qkv.weight").part(1).name
        'qkv.weight[1]'
    """

    seed: int
    name: str
    wide: bool = False

    def words(self) -> Words:
        """Key (two words) and upper counter (two words) of this stream."""
        digest = blake2b(f"{self.seed}:{bare_name(self.name)}".encode(), digest_size=16).digest()
        k0, k1, c2, c3 = unpack("<4I", digest)
        return k0, k1, c2, c3

    def part(self, index: int | str) -> "Stream":
        """The stream of one block of a packed parameter: its name with `[index]` appended."""
        return Stream(self.seed, f"{self.name}[{index}]", self.wide)

    @property
    def dtype(self) -> torch.dtype:
        """In which numbers are made."""
        return torch.float64 if self.wide else torch.float32


_OUTER = "module."  # in front only: inside a name it is the user's own
_ANYWHERE = ("_orig_mod.", "_checkpoint_wrapped_module.", "_fsdp_wrapped_module.")


def bare_name(name: str) -> str:
    """A parameter's name without what wrappers put in front: the parameter, and so its numbers, are the same.

    Example:
        >>> bare_name("module._orig_mod.layers.0._checkpoint_wrapped_module.fc.weight")
        'layers.0.fc.weight'
    """
    for prefix in _ANYWHERE:
        name = name.replace(prefix, "") if prefix in name else name
    while name.startswith(_OUTER):
        name = name[len(_OUTER) :]
    return name
