"""Models without values, called as their users call them: with ids, pictures or numbers alone."""

import pytest
import torch
from healthy import HEALTHY
from healthy_hf import HUGGING_FACE
from torch import Tensor, nn

import gainstage as gs
from gainstage.run import valueless

SIZES = {
    "hidden_size": 64, "d_model": 64, "n_embd": 64, "intermediate_size": 96, "ffn_dim": 96, "num_hidden_layers": 2,
    "n_layer": 2, "num_layers": 2, "num_attention_heads": 4, "n_head": 4, "n_heads": 4, "num_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 100, "decoder_layers": 2, "encoder_layers": 2, "decoder_ffn_dim": 96,
    "decoder_attention_heads": 4, "encoder_attention_heads": 4, "encoder_ffn_dim": 96, "max_position_embeddings": 64,
    "moe_intermediate_size": 32, "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 8, "n_group": 2,
    "topk_group": 1, "num_experts_per_tok": 2, "kv_lora_rank": 16, "q_lora_rank": 24, "qk_rope_head_dim": 16,
    "v_head_dim": 16, "qk_nope_head_dim": 16, "first_k_dense_replace": 1, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2,
}  # fmt: skip
DECODERS = """apertus arcee bart bert biogpt bitnet bloom cohere cohere2 deepseek_v2 deepseek_v3 ernie4_5 exaone4
falcon_mamba flex_olmo gemma gemma2 glm glm4_moe gpt2 gpt_bigcode gpt_neox gpt_oss granite helium internlm3 lfm2 llama
mamba ministral mistral mixtral modernbert-decoder mpt nemotron olmo2 olmoe opt persimmon phi3 qwen2 qwen3 qwen3_moe
smollm3 stablelm starcoder2 xglm""".split()
ZOO = ["lenet", "resnet", "convnext_layerscale", "mobilenet", "unet", "lstm", "gru", "torch_transformer", "mlp_mixer"]
IDS = torch.arange(5, 37).reshape(2, 16)


def decoder(name: str) -> nn.Module:
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as HEADS

    kind = transformers.CONFIG_MAPPING[name]
    usual = kind()
    latent = hasattr(usual, "qk_rope_head_dim")  # its heads have sizes of their own, and keys and values no fewer
    sizes = {k: v for k, v in SIZES.items() if hasattr(usual, k) and not (latent and k == "num_key_value_heads")}
    head = {} if latent or not hasattr(usual, "head_dim") else {"head_dim": 16}
    return getattr(transformers, HEADS[name])(kind(**sizes, **head, **({"num_key_value_heads": 4} if latent else {})))


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_is_planned_from_ids_alone(name: str) -> None:
    with torch.device("meta"):
        model = decoder(name)
    plan = gs.plan(model, IDS)
    assert {n for n, _ in model.named_parameters()} == set(plan)
    assert all(p.is_meta for p in model.parameters())


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3", "deepseek_v3", "mixtral", "opt", "mamba"])
def test_the_plan_is_that_of_the_model_with_values(name: str) -> None:
    with torch.device("meta"):
        empty = decoder(name)
    torch.manual_seed(0)
    planned, found = gs.plan(empty, IDS, scheme="theory"), gs.plan(decoder(name), IDS, scheme="theory")
    assert {n: (a.role, a.fans) for n, a in planned.items()} == {n: (a.role, a.fans) for n, a in found.items()}
    if name in ("llama", "qwen3"):  # nothing of these is measured on the way
        assert {n: a.law for n, a in planned.items()} == {n: a.law for n, a in found.items()}


@pytest.mark.parametrize("name", [*ZOO, "t5", "vit", "swin"])
def test_the_zoo_is_planned_without_values(name: str) -> None:
    subject = (HEALTHY | HUGGING_FACE)[name]()
    model = subject.model.to("meta")
    assert set(gs.plan(model, subject.example)) == {n for n, _ in model.named_parameters()}


def test_what_no_parameter_touches_has_values_and_moments() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(40, 4, device="meta")

        def forward(self, ids: Tensor) -> Tensor:
            mask = torch.ones(ids.shape, device=self.embed.weight.device)
            mask[ids == 5] = 0.0
            if not bool(mask.all()):  # reads a value: ids have some
                mask = mask / 2
            return self.embed(ids) * mask[..., None]

    tape = gs.record(Masked(), IDS)
    masked = tape["div#0"]
    assert masked.forward.mean == pytest.approx(31 / 64)
    assert tape["embed"].forward is None
    assert tape["mul#0"].forward is None


def test_what_is_written_to_without_values_loses_its_own() -> None:
    weight = torch.empty(3, 4, device="meta")
    with valueless(nn.Linear(1, 1, device="meta")):
        cache = torch.zeros(2, 3, 4, device="meta")
        assert not cache.is_meta
        cache[0] = weight
        other = cache + 1  # reads what was written
        assert other.is_meta
        with pytest.raises(gs.GainstageError, match=r"test_valueless.py:\d+: float\(cache.sum\(\)\)"):
            float(cache.sum())


def test_a_mask_that_is_known_chooses_a_known_number_of_entries() -> None:
    class Chosen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 6, device="meta")

        def forward(self, x: Tensor) -> Tensor:
            chosen: Tensor = self.fc(x)[x[:, 0] > 0]
            return chosen * 2

    x = torch.tensor([[1.0], [-1.0], [2.0]]).expand(3, 4)
    assert gs.record(Chosen(), x)["mul#0"].shape == (2, 6)


class Asks(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.fc, self.how = nn.Linear(4, 4, device="meta"), how

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc(x)
        if self.how == "branch" and h.sum() > 0:
            return -h
        if self.how == "list":
            return h[h.argmax(-1).tolist()]
        if self.how == "mask":
            return h[h > 0]
        return h


@pytest.mark.parametrize(
    ("how", "line"),
    [("branch", "if self.how == \"branch\" and h.sum"), ("list", "return h.h.argmax"), ("mask", "return h.h > 0.")],
)  # fmt: skip
def test_what_needs_a_value_is_refused_with_its_line(how: str, line: str) -> None:
    with pytest.raises(gs.GainstageError, match=rf"have no values.* at test_valueless.py:\d+: {line}"):
        gs.plan(Asks(how), torch.randn(2, 4))


def test_a_model_half_of_which_has_values_runs_too() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2, device="meta"))
    tape = gs.record(model, torch.randn(3, 4))
    assert [site.forward is None for site in tape] == [False, False, True]
