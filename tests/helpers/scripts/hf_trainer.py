"""A small GPT-2 trained from its configuration, in the manner of Transformers' examples."""

import sys
import tempfile

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments, set_seed


class Text(torch.utils.data.Dataset):
    def __len__(self):
        return 256

    def __getitem__(self, i):
        start = torch.randint(0, 40, (1,), generator=torch.Generator().manual_seed(i))
        ids = (start + torch.arange(24)) % 48
        return {"input_ids": ids, "labels": ids.clone()}


def main():
    set_seed(0)
    config = GPT2Config(vocab_size=48, n_positions=32, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    with tempfile.TemporaryDirectory() as output:
        training_args = TrainingArguments(
            output_dir=output,
            per_device_train_batch_size=8,
            gradient_accumulation_steps=2,
            max_steps=int(sys.argv[1]) if len(sys.argv) > 1 else 10,
            learning_rate=1e-3,
            warmup_steps=2,
            report_to=[],
            use_cpu=True,
            save_strategy="no",
            disable_tqdm=True,
        )
        trainer = Trainer(model=GPT2LMHeadModel(config), args=training_args, train_dataset=Text())
        trainer.train()


if __name__ == "__main__":
    main()
