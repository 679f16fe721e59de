"""The bits of every stream are those written here: on any processor, in any number of threads, under any setting."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gainstage import init
from gainstage.init import _threads

sys.path.insert(0, str(Path(__file__).parent))
import bits_worker as worker

# The pointwise streams and `sparse` are those of the first release. What is made of matrix products is version 2,
# and so is all of float64.
EXPECTED = {
    "normal": "6151eb3d0b88a549",
    "uniform": "08b25fd742b826c8",
    "truncated": "15030d577dad25f6",
    "lopsided": "76917f3bae2beb01",
    "square": "86968bce880a2232",
    "tall": "41cab6f9090314e3",
    "wide": "4500925426844e14",
    "large": "96452db91b8c41a6",
    "heads": "d6133b20b38b3253",
    "delta": "b48e77caee40984e",
    "mirrored": "473c342a5b3ef7e9",
    "values": "ff944909949e35e0",
    "queries": "0ab14a67565d0b53",
    "sparse": "444347733761a11f",
    "normal, float64": "06d5fdf62d739d91",
    "uniform, float64": "8194a5c4a5be5560",
    "lopsided, float64": "d55b735f83a7a2fb",
    "square, float64": "f5a81eeff87d32b2",
    "tall, float64": "2a532680f27c86f7",
    "wide, float64": "1efa7986d14f81eb",
    "delta, float64": "09c263e07109033c",
    "mirrored, float64": "b005b5878b3e46fd",
}


def test_the_bits_are_the_pinned_ones():
    assert worker.digests() == EXPECTED


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_the_precision_of_matrix_products_does_not_matter(precision):
    torch.set_float32_matmul_precision(precision)
    try:
        assert worker.digests() == EXPECTED
    finally:
        torch.set_float32_matmul_precision("highest")


def test_autocast_does_not_matter():
    with torch.autocast("cpu", torch.bfloat16):
        assert worker.digests() == EXPECTED


def test_flushing_denormal_numbers_does_not_matter():
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot")
    try:
        assert worker.digests() == EXPECTED
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_number_of_threads_does_not_matter(threads, monkeypatch):
    monkeypatch.setattr(_threads, "WORTH_A_THREAD", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert worker.digests() == EXPECTED
    finally:
        torch.set_num_threads(before)


PROCESSORS = {
    "the oldest, in one thread": {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
        "ATEN_CPU_CAPABILITY": "default",
        "OPENBLAS_CORETYPE": "Prescott",
        "MKL_CBWR": "COMPATIBLE",
        "OMP_NUM_THREADS": "1",
    },
    "AVX2, in three threads": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "OPENBLAS_CORETYPE": "Haswell",
        "MKL_CBWR": "AVX2",
        "OMP_NUM_THREADS": "3",
    },
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_the_processor_does_not_matter(name, tmp_path):
    """Libraries are told to use other instructions; numba compiles anew where it is to do so."""
    settings = PROCESSORS[name] | ({"NUMBA_CACHE_DIR": str(tmp_path)} if "NUMBA_CPU_NAME" in PROCESSORS[name] else {})
    ran = subprocess.run(
        [sys.executable, worker.__file__], env=os.environ | settings, capture_output=True, text=True, check=True
    )
    assert json.loads(ran.stdout) == EXPECTED


def test_an_error_in_a_thread_is_raised(monkeypatch):
    monkeypatch.setattr(_threads, "WORTH_A_THREAD", 1)

    def work(item: int) -> None:
        if item == 3:
            raise MemoryError("no room")

    for threads in (1, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        with pytest.raises(MemoryError, match="no room"):
            _threads.each(work, range(5), 5)


def test_one_orthogonal_matrix_by_hand():
    """2 x 2, from its own stream: one reflection H = I - v v', then the sign of the last entry; in float64."""
    from gainstage.init._write import draw
    from gainstage.init.streams import Stream

    g = draw(init.normal().recipe(), Stream(0, "w"), (2, 2)).double()
    first = g[:, 0] / g[:, 0].norm()
    sign = -1.0 if first[0] >= 0 else 1.0
    v = first - sign * torch.tensor([1.0, 0.0], dtype=torch.float64)
    reflection = torch.eye(2, dtype=torch.float64) - 2 * torch.outer(v, v) / (v @ v)
    last = torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64))  # H_1 turns the last axis round
    signs = torch.tensor([sign, -1.0 if g[1, 1] >= 0 else 1.0], dtype=torch.float64)
    expected = reflection @ last * signs
    torch.testing.assert_close(
        init.fill_(torch.empty(2, 2), init.orthogonal(), name="w").double(), expected, atol=1e-6, rtol=0
    )
