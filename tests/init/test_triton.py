"""The CUDA kernel without a GPU: in Triton's interpreter, and compiled to PTX that is read."""

import json
import os
import subprocess
import sys

import pytest
import torch

triton = pytest.importorskip("triton", reason="triton is not installed")

from gainstage import init  # noqa: E402

INTERPRETED = """
import json, torch
from gainstage import init
from gainstage.init import _triton
from gainstage.init._reference import reference
from gainstage.init.streams import Stream

words = Stream(0, "fc.weight").words()
laws = {"normal": init.normal(0.1, 0.02), "uniform": init.uniform(-0.3, 0.6),
        "truncated": init.truncated_normal(std=0.1), "lopsided": init.trunc_normal(0.1, 1.3, -1, 1.4)}
places = [(5000, 0, 0, 5000), (5000, 2**36 + 77, 0, 5000), (600, 5, 1000, 200), (7, 100, 0, 7)]
same = {}
for name, law in laws.items():
    for n, base, stride, length in places:
        j = torch.arange(n)
        expected = reference(law.concrete((n,)).recipe(), words, base + j // length * stride + j % length)
        for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
            out = torch.zeros(n, dtype=dtype)
            _triton.fill_runs(out, law.concrete((n,)).recipe(), words, base, stride, length)
            same[f"{name} {n} {base} {dtype}"] = torch.equal(out, expected.to(dtype))
print(json.dumps(same))
"""


def test_the_interpreted_kernel_is_the_reference_bit_for_bit():
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    ran = subprocess.run([sys.executable, "-c", INTERPRETED], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    same = json.loads(ran.stdout)
    assert len(same) == 64
    assert all(same.values()), [case for case, equal in same.items() if not equal]


COMPILED = """
import sys
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from gainstage.init._triton_kernel import fill_kernel

wide, narrow = ("base", "stride", "length"), ("tiles", "k0", "k1", "d0", "d1")
constants = {"uniform": False, "bfloat16": False, "lanes": 16, "groups": 64}
kinds = {n: "i64" if n in wide else "i32" if n in narrow else "constexpr" if n in constants else "fp32"
         for n in fill_kernel.arg_names} | {"out": "*fp32"}
source = ASTSource(fn=fill_kernel, signature=kinds, constexprs=constants)
print(compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": False}).asm["ptx"])
"""


def test_the_compiled_kernel_rounds_every_operation():
    """PTX for an H100: no fused multiply-add, and the square root of IEEE."""
    ran = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True)
    if ran.returncode:
        pytest.skip(f"this triton cannot compile for CUDA here: {ran.stderr.strip().splitlines()[-1]}")
    assert "mul.rn.f32" in ran.stdout or "mul.f32" in ran.stdout
    assert "fma" not in ran.stdout
    assert "sqrt.rn.f32" in ran.stdout
    assert "approx" not in ran.stdout


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize(
    "law",
    [init.normal(0.1, 0.02), init.uniform(-0.3, 0.6), init.truncated_normal(std=0.1), init.orthogonal(), init.ones()],
    ids=str,
)
def test_cuda_gives_the_bits_of_the_cpu(law, dtype):
    for shape in ((1000, 1003), (7, 5), (64, 33)):
        on_cpu = init.fill_(torch.empty(shape, dtype=dtype), law, name="w")
        on_gpu = init.fill_(torch.empty(shape, dtype=dtype, device="cuda"), law, name="w")
        turned = init.fill_(torch.empty(shape[::-1], dtype=dtype, device="cuda").t(), law, name="w")
        assert torch.equal(on_gpu.cpu(), on_cpu)
        assert torch.equal(turned.cpu(), on_cpu)
