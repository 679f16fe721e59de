"""Predicted against measured: levels, gradients, first loss and gradient norms of architectures at their own start.

    python benchmarks/foresee.py [--only TEXT] [--big]      # writes benchmarks/results/foresee.json

Every architecture is foreseen from the second moments of its weights, then run once, forward and backward. Errors are
of root mean squares over the sites that theory covers. No number is fitted; the formulas were written with GPT-2,
Llama, Gemma, Bloom, OLMo 2, Nemotron, ResNet and the chains in view, so both halves of the names, split by checksum,
are reported. `--big` times the forecast of Llama-405B from its plan. timm is measured where it is installed.
"""

import argparse
import json
import resource
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gainstage as gs
from gainstage.signal import observe

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "tests" / "helpers"), str(HERE.parent / "tests" / "run")]
BATCH, LENGTH, CLASSES = 16, 32, 500
WIDE = {"hidden_size": 128, "d_model": 128, "n_embd": 128, "dim": 128, "intermediate_size": 256}
WIDE |= {"ffn_dim": 256, "decoder_ffn_dim": 256, "encoder_ffn_dim": 256, "vocab_size": CLASSES}
TIMM = """resnet18 resnet26d resnext50_32x4d wide_resnet50_2 seresnet18 vgg11_bn densenet121 mobilenetv2_100
mobilenetv3_small_100 efficientnet_b0 regnetx_002 regnety_002 convnext_atto convnextv2_atto vit_tiny_patch16_224
deit_tiny_patch16_224 mixer_s32_224 resmlp_12_224 poolformer_s12 swin_tiny_patch4_window7_224 cait_xxs24_224
mobilevit_xxs edgenext_xx_small ghostnet_100 dla34 hrnet_w18_small res2net50_26w_4s nf_resnet26 skresnet18 repvgg_a0
coat_lite_tiny pit_ti_224 xcit_nano_12_p16_224 levit_128s crossvit_tiny_240 mnasnet_050 fbnetc_100 hardcorenas_a
darknet53 cspresnet50""".split()


class Logits(nn.Module):
    """A model of a library, with its logits as the only output."""

    def __init__(self, model: nn.Module, **options: Any) -> None:
        super().__init__()
        self.model, self.options = model, options

    def forward(self, x: Tensor) -> Tensor:
        y = self.model(x, **self.options)
        y = getattr(y, "logits", y)
        return y[0] if isinstance(y, tuple) else y


def classes(y: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(y.reshape(-1, y.shape[-1]), labels.flatten())


def decoders() -> Iterator[tuple[str, Callable[[], tuple[Any, ...]]]]:
    import test_valueless

    test_valueless.SIZES |= WIDE

    def build(name: str) -> Callable[[], tuple[Any, ...]]:
        def make() -> tuple[Any, ...]:
            draw = torch.Generator().manual_seed(1)
            ids = torch.randint(5, CLASSES, (BATCH, LENGTH), generator=draw)
            labels = torch.randint(CLASSES, (BATCH, LENGTH), generator=draw)
            return Logits(test_valueless.decoder(name).eval()), ids, labels, classes

        return make

    yield from ((f"hf/{name}", build(name)) for name in test_valueless.DECODERS)


def pictures() -> Iterator[tuple[str, Callable[[], tuple[Any, ...]]]]:
    try:
        import types

        sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations"))
        import timm
    except ImportError:
        return

    def build(name: str) -> Callable[[], tuple[Any, ...]]:
        def make() -> tuple[Any, ...]:
            model = timm.create_model(name, num_classes=100)
            size = model.default_cfg["input_size"][-1]
            x = torch.randn(8, 3, size, size, generator=torch.Generator().manual_seed(1))
            return model, x, torch.arange(8) * 7 % 100, classes

        return make

    known = set(timm.list_models())
    yield from ((f"timm/{name}", build(name)) for name in TIMM if name in known)


def zoo() -> Iterator[tuple[str, Callable[[], tuple[Any, ...]]]]:
    from healthy import HEALTHY
    from healthy_hf import HUGGING_FACE

    def build(make: Any) -> Callable[[], tuple[Any, ...]]:
        def made() -> tuple[Any, ...]:
            subject = make()
            return subject.model, subject.example, subject.target, subject.loss

        return made

    yield from ((f"zoo/{name}", build(make)) for name, make in {**HEALTHY, **HUGGING_FACE}.items())


def plain() -> Iterator[tuple[str, Callable[[], tuple[Any, ...]]]]:
    """Chains, residual streams and pyramids of torch's layers at width 128 to 256."""
    acts = {a.__name__.lower(): a for a in (nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.ELU, nn.SELU, nn.Mish, nn.Softplus)}

    def chain(act: Any, norm: Any, width: int, depth: int) -> Callable[[], tuple[Any, ...]]:
        def made() -> tuple[Any, ...]:
            parts: list[nn.Module] = []
            for i in range(depth):
                parts += [nn.Linear(width if i else 64, width), *([norm(width)] if norm else []), act()]
            x = torch.randn(64, 64, generator=torch.Generator().manual_seed(1))
            return nn.Sequential(*parts, nn.Linear(width, 100)), x, torch.arange(64) * 7 % 100, classes

        return made

    for name, act in acts.items():
        for norm in (None, nn.LayerNorm, nn.BatchNorm1d, nn.RMSNorm):
            title = f"{name}_{norm.__name__.lower()}" if norm else name
            yield f"mlp/{title}", chain(act, norm, 256, 6)


SOURCES = {"mlp": plain, "hf": decoders, "zoo": zoo, "timm": pictures}


def compared(make: Callable[[], tuple[Any, ...]]) -> dict[str, Any]:
    """Relative errors of one architecture."""
    torch.manual_seed(0)
    model, example, target, loss = make()
    start = time.perf_counter()
    forecast = gs.foresee(model, example, target=target, loss=loss)
    seconds = time.perf_counter() - start
    seen = observe(model, example, target=target, loss=loss)
    sites = {s.site.name: s for s in forecast.sites}
    forward, backward, known, total = [], [], 0, 0
    for site in seen.tape:
        if site.forward is None or site.kind != "op" or not site.forward.rms > 0:
            continue
        total += 1
        found = sites.get(site.name)
        if found is None:
            continue
        if found.covered:
            known += 1
            forward.append(found.rms / site.forward.rms - 1)
        reaches = site.backward is not None and site.backward.rms > 1e-20 and found.gradient_rms is not None
        if reaches and found.gradient_covered:
            backward.append(found.gradient_rms / site.backward.rms - 1)
    norms = {n: float(g.norm()) for n, g in seen.gradients.items() if g.norm() > 1e-10}
    gradients = {n: forecast.gradients[n] / norm - 1 for n, norm in norms.items() if n in forecast.gradients}
    return {
        "forward": forward,
        "backward": backward,
        "gradients": list(gradients.values()),
        "matrices": [e for n, e in gradients.items() if dict(model.named_parameters())[n].dim() > 1],
        "gradient_share": len(gradients) / max(len(norms), 1),
        "loss": None if forecast.loss is None or seen.tape.loss is None or seen.tape.surrogate
        else forecast.loss / seen.tape.loss - 1,
        "covered": known,
        "sites": total,
        "uncovered": forecast.uncovered,
        "seconds": seconds,
    }  # fmt: skip


def quantiles(errors: list[float]) -> str:
    if not errors:
        return "none"
    e = np.abs(np.nan_to_num(errors, nan=9.99, posinf=9.99))
    return f"median {np.median(e):.2%}, 90th {np.quantile(e, 0.9):.1%}, 99th {np.quantile(e, 0.99):.1%} of {len(e)}"


def summary(results: dict[str, dict[str, Any]], title: str) -> list[str]:
    every = list(results.values())
    lines = [f"{title}: {len(every)} architectures"]
    for key in ("forward", "backward", "gradients", "matrices"):
        lines.append(f"  {key:<9} {quantiles([e for r in every for e in r[key]])}")
    losses = [r["loss"] for r in every if r["loss"] is not None]
    lines.append(f"  loss      {quantiles(losses)}")
    sites = sum(r["sites"] for r in every)
    lines.append(f"  covered   {sum(r['covered'] for r in every) / max(sites, 1):.1%} of {sites} sites")
    return lines


def big() -> dict[str, float]:
    """Seconds and memory of the forecast of Llama-405B from its plan."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=16384, intermediate_size=53248, num_hidden_layers=126, num_attention_heads=128,
        num_key_value_heads=8, vocab_size=128256, tie_word_embeddings=False,
    )  # fmt: skip
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    ids = torch.randint(128256, (2, 512), generator=torch.Generator().manual_seed(0))
    start = time.process_time()  # of one thread: other work on the machine does not count
    plan = gs.plan(model, ids)
    planned = time.process_time() - start
    forecast = gs.foresee(model, ids, plan)
    found = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds_plan": planned,
        "seconds_foresee": time.process_time() - start - planned,
        "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "loss": forecast.loss or 0.0,
        "covered": forecast.coverage,
    }
    print(found)
    return found


def checked() -> None:
    """Every model of the zoo on the meta device: which rules judge it, and what they say."""
    judged, alarms, refused = 0, [], []
    for name, make in zoo():
        torch.manual_seed(0)
        model, example, target, loss = make()
        try:
            report = gs.check(
                model.to("meta"), example, target=target, loss=loss, select=("FWD201", "FWD202", "FWD203")
            )
        except gs.GainstageError:
            refused.append(name)
            continue
        judged += "FWD201" in report.judged
        alarms += [f"{name} {f.code}" for f in report.findings]
    print(f"judged {judged}, alarms {len(alarms)} {alarms}, not run {len(refused)} {refused}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--big", action="store_true")
    parser.add_argument("--check", action="store_true", help="the zoo on the meta device, checked")
    parser.add_argument("--minutes", type=float, default=60.0, help="no further architecture is begun after these")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if given.big:
        big()
        return
    if given.check:
        checked()
        return
    results, refused, began = {}, {}, time.perf_counter()
    for source in SOURCES.values():
        for name, make in source():
            if given.only not in name or time.perf_counter() - began > 60 * given.minutes:
                continue
            try:
                results[name] = compared(make)
            except Exception as error:
                refused[name] = f"{type(error).__name__}: {error}"[:200]
                continue
            r = results[name]
            print(f"{name:<44} F {quantiles(r['forward'])[:40]} B {quantiles(r['backward'])[:40]}", flush=True)
    halves: dict[str, dict[str, Any]] = {"first half": {}, "second half": {}}
    for name, r in results.items():
        halves["second half" if zlib.crc32(name.encode()) % 2 else "first half"][name] = r
    text = [line for title, half in halves.items() for line in summary(half, title)]
    for kind in SOURCES:
        text += summary({n: r for n, r in results.items() if n.startswith(kind + "/")}, kind)
    ops: dict[str, int] = {}
    for r in results.values():
        for op, n in r["uncovered"].items():
            ops[op] = ops.get(op, 0) + n
    text.append("not covered: " + ", ".join(f"{op} {n}" for op, n in sorted(ops.items(), key=lambda x: -x[1])[:20]))
    text.append(f"not run: {len(refused)}: " + "; ".join(f"{n} ({e[:80]})" for n, e in refused.items()))
    print("\n".join(text))
    if not given.only:
        keep = ("loss", "covered", "sites", "gradient_share", "seconds")
        rows = {
            n: {k: r[k] for k in keep} | {k: quantiles(r[k]) for k in ("forward", "backward", "gradients")}
            for n, r in results.items()
        }
        path = HERE / "results" / "foresee.json"
        path.write_text(json.dumps({"summary": text, "architectures": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
