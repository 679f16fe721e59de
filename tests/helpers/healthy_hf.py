"""Hugging Face models in their default configurations, shrunk: healthy at their usual start."""

from collections.abc import Callable

import torch

from gainstage.signal import Subject

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
