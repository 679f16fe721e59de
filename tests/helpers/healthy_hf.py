"""Hugging Face models in their default configurations, shrunk: healthy at their usual start."""

from collections.abc import Callable
from typing import Any

import torch

from gainstage.run import Subject

HUGGING_FACE: dict[str, Callable[[], Subject]] = {}
SMALL = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 128}
WORDS = {"vocab_size": 500}


def ids(n: int = 8, length: int = 16) -> torch.Tensor:
    return torch.randint(5, 500, (n, length))


def language(name: str, head: str, **config: object) -> None:
    def build() -> Subject:
        import transformers

        model = getattr(transformers, head)(getattr(transformers, f"{name}Config")(**config))
        tokens = ids()
        return Subject(model.train(), {"input_ids": tokens, "labels": tokens.clone()})

    HUGGING_FACE[name.lower()] = build


def vision(name: str, **config: object) -> None:
    def build() -> Subject:
        import transformers

        made = getattr(transformers, f"{name}Config")(**config, num_labels=10)
        model = getattr(transformers, f"{name}ForImageClassification")(made)
        return Subject(model.train(), {"pixel_values": torch.randn(16, 3, 32, 32), "labels": torch.arange(16) % 10})

    HUGGING_FACE[name.lower()] = build


language("GPT2", "GPT2LMHeadModel", n_embd=64, n_layer=4, n_head=4, n_positions=64, vocab_size=500)
language("GPTNeoX", "GPTNeoXForCausalLM", **SMALL, **WORDS)
language("Llama", "LlamaForCausalLM", **SMALL, **WORDS)
language("Mistral", "MistralForCausalLM", **SMALL, **WORDS, num_key_value_heads=2)
language("Qwen2", "Qwen2ForCausalLM", **SMALL, **WORDS, num_key_value_heads=2)
language("Gemma", "GemmaForCausalLM", **SMALL, **WORDS, num_key_value_heads=2, head_dim=16)
language("Phi", "PhiForCausalLM", **SMALL, **WORDS)
language(
    "OPT", "OPTForCausalLM",
    vocab_size=500, hidden_size=64, word_embed_proj_dim=64, ffn_dim=128, num_hidden_layers=4, num_attention_heads=4,
)  # fmt: skip
language("Bloom", "BloomForCausalLM", vocab_size=500, hidden_size=64, n_layer=4, n_head=4)
language("Mixtral", "MixtralForCausalLM", **SMALL, **WORDS, num_key_value_heads=2, num_local_experts=4)
language("Bert", "BertForMaskedLM", **SMALL, **WORDS)
language("Roberta", "RobertaForMaskedLM", **SMALL, **WORDS)
language("Electra", "ElectraForMaskedLM", **SMALL, **WORDS, embedding_size=32)
language("Albert", "AlbertForMaskedLM", **SMALL, **WORDS, embedding_size=32)
language("DistilBert", "DistilBertForMaskedLM", vocab_size=500, dim=64, n_layers=4, n_heads=4, hidden_dim=128)
language(
    "T5", "T5ForConditionalGeneration",
    vocab_size=500, d_model=64, d_kv=16, d_ff=128, num_layers=3, num_heads=4, decoder_start_token_id=0,
)  # fmt: skip
language(
    "Bart", "BartForConditionalGeneration",
    vocab_size=500, d_model=64, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
    decoder_attention_heads=4, encoder_ffn_dim=128, decoder_ffn_dim=128,
)  # fmt: skip
language(
    "DebertaV2", "DebertaV2ForMaskedLM",
    **SMALL, **WORDS, relative_attention=True, position_biased_input=False, pos_att_type=["c2p", "p2c"],
)  # fmt: skip
language("Mamba", "MambaForCausalLM", hidden_size=64, num_hidden_layers=4, vocab_size=500, state_size=8)
language("Gemma2", "Gemma2ForCausalLM", **SMALL, **WORDS, num_key_value_heads=2, head_dim=16)
# More of them, with every size that their configuration has set small.
SIZES = {
    **SMALL, **WORDS, "d_model": 64, "dim": 64, "n_embd": 64, "embedding_size": 64, "word_embed_proj_dim": 64,
    "n_layer": 4, "n_layers": 4, "encoder_layers": 2, "decoder_layers": 2, "num_layers": 2, "num_decoder_layers": 2,
    "n_head": 4, "n_heads": 4, "num_heads": 4, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "ffn_dim": 128, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128,
    "d_ff": 128, "d_kv": 16, "n_inner": 128, "max_position_embeddings": 128, "n_positions": 128, "state_size": 8,
    "num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64,
    "shared_expert_intermediate_size": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "decoder_start_token_id": 0,
}  # fmt: skip


def small(name: str, head: str, example: Callable[[Any], dict[str, Any]] | None = None, **config: Any) -> None:
    """`<name><head>` with the default configuration, shrunk by `SIZES` and by what is given here."""

    def build() -> Subject:
        import transformers

        kind = getattr(transformers, f"{name}Config")
        default = kind()
        sizes = {key: size for key, size in SIZES.items() if hasattr(default, key) and key not in config}
        made = kind(**{**sizes, **{key: value for key, value in config.items() if value is not None}})
        model = getattr(transformers, name.removesuffix("Text") + head)(made)
        words = ids()
        given = {"input_ids": words, "labels": words.clone()} if example is None else example(made)
        return Subject(model.train(), given)

    HUGGING_FACE[f"{name}{head}".lower()] = build


for name in (
    "GPTBigCode", "StableLm", "Starcoder2", "Cohere", "Olmo2", "Qwen3", "Granite", "Phi3", "Nemotron",
    "Glm", "GraniteMoe", "Olmoe", "Qwen2Moe", "RecurrentGemma", "SmolLM3", "XGLM", "BioGpt", "Helium",
):  # fmt: skip
    small(name, "ForCausalLM")
small("Falcon", "ForCausalLM", head_dim=None)
small("GPTJ", "ForCausalLM", rotary_dim=16, n_embd=64)
small("Mpt", "ForCausalLM", d_model=64, n_layers=4, n_heads=4)
small("Gemma3Text", "ForCausalLM")
for name in ("ModernBert", "ConvBert", "FNet", "Esm", "XLMRoberta", "MPNet"):
    small(name, "ForMaskedLM")
for name in ("MBart", "Pegasus", "Marian", "M2M100"):
    small(name, "MTModel" if name == "Marian" else "ForConditionalGeneration")


def pictures(config: Any) -> dict[str, Any]:
    size = config.image_size if isinstance(getattr(config, "image_size", None), int) else 32
    return {"pixel_values": torch.randn(16, 3, size, size), "labels": torch.arange(16) % 2}


def only_pictures(config: Any) -> dict[str, Any]:
    return {"pixel_values": pictures(config)["pixel_values"]}


def sound(config: Any) -> dict[str, Any]:
    return {"input_values": torch.randn(8, 4000), "labels": torch.arange(8) % 2}


def spectrogram(config: Any) -> dict[str, Any]:
    return {"input_values": torch.randn(8, 64, 32), "labels": torch.arange(8) % 2}


def pairs(config: Any) -> dict[str, Any]:
    size = config.vision_config.image_size
    return {"input_ids": ids(), "pixel_values": torch.randn(8, 3, size, size), "return_loss": True}


SQUARE = {"image_size": 32, "patch_size": 8}
TEXT = {**SMALL, **WORDS, "max_position_embeddings": 32, "bos_token_id": 1, "eos_token_id": 2}
for name in ("Dinov2", "ViTMSN"):
    small(name, "ForImageClassification", pictures, **SQUARE)
small(
    "ConvNextV2", "ForImageClassification", pictures, hidden_sizes=[16, 32, 64, 64], depths=[2, 2, 2, 2], image_size=32
)
small(
    "RegNet", "ForImageClassification", pictures, embedding_size=16, hidden_sizes=[16, 32, 48, 64], depths=[1, 2, 2, 1]
)
small(
    "PvtV2", "ForImageClassification", pictures,
    hidden_sizes=[16, 32, 40, 64], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 5, 8], image_size=32,
)  # fmt: skip
small(
    "ViTMAE", "ForPreTraining", only_pictures,
    **SQUARE, decoder_hidden_size=32, decoder_num_hidden_layers=2, decoder_num_attention_heads=4,
    decoder_intermediate_size=64,
)  # fmt: skip
small("CLIP", "Model", pairs, text_config=TEXT, vision_config={**SMALL, **SQUARE}, projection_dim=32)
small("Siglip", "Model", pairs, text_config=TEXT, vision_config={**SMALL, **SQUARE})
for name in ("Wav2Vec2", "Hubert", "WavLM", "SEW"):
    small(
        name, "ForSequenceClassification", sound,
        conv_dim=(32, 32, 32), conv_stride=(5, 2, 2), conv_kernel=(10, 3, 3),
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, classifier_proj_size=32,
    )  # fmt: skip
small("AST", "ForAudioClassification", spectrogram, max_length=64, num_mel_bins=32)
vision("ViT", **SMALL, image_size=32, patch_size=8)
vision("DeiT", **SMALL, image_size=32, patch_size=8)
vision("Beit", **SMALL, image_size=32, patch_size=8)
vision("ConvNext", hidden_sizes=[16, 32, 64, 64], depths=[2, 2, 2, 2], patch_size=2)
vision("ResNet", embedding_size=16, hidden_sizes=[32, 64, 64, 64], depths=[3, 4, 6, 3])
HUGGING_FACE["resnet_50"] = HUGGING_FACE.pop("resnet")
vision("ResNet", embedding_size=16, hidden_sizes=[16, 32, 64, 64], depths=[2, 2, 2, 2], layer_type="basic")
vision("Segformer", hidden_sizes=[16, 32, 40, 64], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 4, 8])
vision("MobileNetV2", depth_multiplier=0.25, image_size=32)
vision("PoolFormer", hidden_sizes=[16, 32, 40, 64], depths=[2, 2, 2, 2])
vision("Swin", image_size=32, patch_size=2, embed_dim=24, depths=[2, 2], num_heads=[2, 4], window_size=4)
