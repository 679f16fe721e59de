"""The true start of models, streamed: against the ordinary computation where that fits, and at the size of 405B.

    python benchmarks/stream.py            a Llama of 199 M parameters both ways: loss, norms, seconds, memory
    python benchmarks/stream.py --pair     two layers of Llama-405B with its embedding and head, and what 126 would take

Each way runs in a process of its own. Memory is the highest resident size above that of the process with everything
imported. `--pair` may be killed and called again: it goes on behind the last finished block.
"""

import argparse
import gc
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "stream.json"
SMALL = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 11, "num_attention_heads": 16}
SMALL |= {"num_key_value_heads": 4, "vocab_size": 16384}
BIG = {"hidden_size": 16384, "intermediate_size": 53248, "num_attention_heads": 128, "num_key_value_heads": 8}
BIG |= {"vocab_size": 128256}
LAYERS = 126


def resident() -> float:
    """The highest resident size of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def model_of(sizes: dict[str, int], device: str) -> tuple[Any, dict[str, Any]]:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.device(device):
        model = LlamaForCausalLM(LlamaConfig(**sizes, tie_word_embeddings=False, use_cache=False))
    ids = torch.randint(sizes["vocab_size"], (1, 64), generator=torch.Generator().manual_seed(0))
    return model, {"input_ids": ids, "labels": ids}


def one(way: str) -> dict[str, Any]:
    """Loss, norms, seconds and memory of one way, at the small size."""
    import torch

    import gainstage as gs

    empty, example = model_of(SMALL, "meta")
    plan = gs.plan(empty, example)
    tiny, few = model_of(SMALL | {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2}, "cpu")
    tiny(**few).loss.backward()  # what is imported and compiled on first use belongs to neither way
    gs.initialize(tiny, few, proof=False)
    del tiny
    gc.collect()
    before, start = resident(), time.perf_counter()
    if way == "streamed":
        found = gs.stream(empty, example, plan)
        loss, norms = found.loss, dict(found.gradients)
    else:
        model, _ = model_of(SMALL, "cpu")
        plan.apply(model)
        value = model(**example).loss
        value.backward()
        loss, norms = float(value), {n: float(p.grad.norm()) for n, p in model.named_parameters()}
    return {
        "seconds": time.perf_counter() - start,
        "megabytes": resident() - before,
        "loss": loss,
        "norms": norms,
        "parameters": sum(p.numel() for p in empty.parameters()),
        "threads": torch.get_num_threads(),
    }


def both() -> dict[str, Any]:
    ways = {}
    for way in ("streamed", "ordinary"):
        done = subprocess.run([sys.executable, __file__, "--one", way], capture_output=True, text=True, check=True)
        ways[way] = json.loads(done.stdout.splitlines()[-1])
    norms = {way: found.pop("norms") for way, found in ways.items()}
    worst = max(abs(norms["streamed"][n] / norm - 1) for n, norm in norms["ordinary"].items() if norm)
    return {**ways, "worst_norm": worst, "norms": len(norms["ordinary"])}


def pair(directory: Path) -> dict[str, Any]:
    """Two layers of the big model with its embedding and head."""
    import gainstage as gs

    model, example = model_of(BIG | {"num_hidden_layers": 2}, "meta")
    plan = gs.plan(model, example)
    found = gs.stream(model, example, plan, directory=directory, progress=True)
    ahead = [a for _, a, _ in found.blocks]
    back = [b for _, _, b in found.blocks]
    rest = found.seconds - sum(ahead) - sum(back)
    layer = (sum(ahead) + sum(back)) / 2
    return {
        "parameters": found.parameters,
        "loss": found.loss,
        "gradient_norm": found.gradient_norm,
        "seconds_layer_forward": sum(ahead) / 2,
        "seconds_layer_backward": sum(back) / 2,
        "seconds_embedding_head_loss": rest,
        "hours_of_126_layers": (LAYERS * layer + rest) / 3600,
        "megabytes_of_the_process": resident(),
        "tokens": 64,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", choices=("streamed", "ordinary"), help=argparse.SUPPRESS)
    parser.add_argument("--pair", action="store_true")
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()) / "stream-pair")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if given.one:
        print(json.dumps(one(given.one)))
        return
    key, found = ("pair_of_405B", pair(given.directory)) if given.pair else ("199M", both())
    print(json.dumps(found, indent=1))
    kept = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    machine = f"{_processor()}, {os.cpu_count()} cores, shared with other work"
    RESULT.write_text(json.dumps({**kept, key: {**found, "machine": machine}}, indent=1) + "\n")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


if __name__ == "__main__":
    main()
