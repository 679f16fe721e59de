"""Adapters with the real frameworks: Lightning, Transformers, Keras, Accelerate."""

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import gainstage as gs

os.environ.setdefault("KERAS_BACKEND", "torch")
X, Y = torch.randn(128, 8, generator=torch.Generator().manual_seed(0)), torch.arange(128) % 3


@pytest.fixture(autouse=True)
def no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where marimo is imported, as by other tests of this process, Transformers' Trainer asks for IPython."""
    from transformers.utils import import_utils

    monkeypatch.delitem(sys.modules, "marimo", raising=False)
    import_utils.is_in_notebook.cache_clear()


@pytest.fixture
def lightning(monkeypatch: pytest.MonkeyPatch) -> Any:
    warnings.simplefilter("ignore")
    import lightning.pytorch as pl

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def validation_step(self, batch: Any, index: int) -> None:
            self.log("val_loss", F.cross_entropy(self.net(batch[0]), batch[1]))

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.1)

    def trainer(*callbacks: Any, steps: int = 20) -> Any:
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        return pl.Trainer(
            max_steps=steps, accelerator="cpu", callbacks=list(callbacks), enable_model_summary=False, **quiet
        )

    loader = DataLoader(TensorDataset(X, Y), batch_size=32)
    return trainer, Module, loader


def test_lightning_is_watched_by_a_callback(lightning: Any) -> None:
    from gainstage.adapters.lightning import Watch

    trainer, module, loader = lightning
    callback = Watch(every=5)
    trainer(callback).fit(module(), loader, loader)
    assert callback.watch is not None
    assert [r.step for r in callback.watch.readings] == [1, 5, 10, 15, 20]
    assert "net.0/linear#0" in callback.watch.readings[-1].sites
    assert callback.watch.readings[-1].metrics["validation"] > 0
    assert callback.watch.report.ok
    assert not nn.modules.module._global_forward_hooks


def test_lightning_trains_at_the_rates_of_a_transfer(lightning: Any) -> None:
    """The factory builds what the module holds; its own optimizer, SGD, is back afterwards."""
    from gainstage.adapters.lightning import Transferred

    def make(width: int) -> Any:
        return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 3)), X[:8]

    trainer, module, loader = lightning
    move, model = gs.transfer(make, 8, 32), module()
    move.apply(model.net)
    fitted = trainer(Transferred(move, lambda o: torch.optim.lr_scheduler.StepLR(o, 10, 0.5), lr=0.01), steps=4)
    fitted.fit(model, loader)
    (optimizer,) = fitted.optimizers
    rates = {name: group["lr"] for group in optimizer.param_groups for name in group["names"]}
    assert rates["0.weight"] == 0.01
    assert rates["2.weight"] == 0.01 / 4
    assert isinstance(optimizer, torch.optim.AdamW)
    assert isinstance(model.configure_optimizers(), torch.optim.SGD)


def test_a_lightning_module_is_a_subject_before_its_first_step(lightning: Any) -> None:
    from gainstage.adapters.lightning import subject

    trainer, module, loader = lightning
    model = module()
    before = model.net[0].weight.clone()
    s = subject(trainer(), model, loader)
    assert torch.equal(before, model.net[0].weight)
    assert s.target.equal(Y[:32])
    report = gs.check(s)
    assert report.ok
    assert "OPT804" in report.judged


def test_attach_watches_the_module_of_a_trainer(lightning: Any) -> None:
    import lightning.pytorch as pl

    trainer, module, loader = lightning
    seen: list[gs.Watch] = []

    class Attach(pl.Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            seen.append(gs.Watch.attach(trainer, every=10))

    trainer(Attach()).fit(module(), loader)
    seen[0].close()
    assert [r.step for r in seen[0].readings] == [1, 10, 20]


class Tokens(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return 128

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        ids = (i + torch.arange(12)) % 32
        return {"input_ids": ids, "labels": ids.clone()}


def hf(directory: Path, **kwargs: Any) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments, set_seed

    set_seed(0)
    config = GPT2Config(vocab_size=32, n_positions=16, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0)
    given = TrainingArguments(
        output_dir=str(directory), per_device_train_batch_size=32, max_steps=10, report_to=[], use_cpu=True,
        save_strategy="no", disable_tqdm=True, eval_strategy="steps", eval_steps=4,
    )  # fmt: skip
    return Trainer(GPT2LMHeadModel(config), given, train_dataset=Tokens(), eval_dataset=Tokens(), **kwargs)


def test_transformers_trains_at_the_rates_of_a_transfer(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    from gainstage.adapters.transformers import optimizers

    def make(width: int) -> Any:
        config = GPT2Config(
            vocab_size=32, n_positions=16, n_embd=width, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
        )
        return GPT2LMHeadModel(config), {"input_ids": Tokens()[0]["input_ids"][None]}

    move, trainer = gs.transfer(make, 8, 16), hf(tmp_path)
    given = optimizers(move, trainer.model, trainer.args)
    again = type(trainer)(trainer.model, trainer.args, train_dataset=Tokens(), eval_dataset=Tokens(), optimizers=given)
    again.train()
    first = {name: g["initial_lr"] for g in again.optimizer.param_groups for name in g["names"]}
    assert first["transformer.wte.weight"] == trainer.args.learning_rate
    assert first["transformer.h.0.mlp.c_fc.weight"] == trainer.args.learning_rate / 2


def test_a_transformers_trainer_is_checked_and_watched(tmp_path: Path) -> None:
    from gainstage.adapters.transformers import WatchCallback

    callback = WatchCallback(every=5)
    trainer = hf(tmp_path, callbacks=[callback])
    report = gs.check(trainer)
    assert report.model == "GPT2LMHeadModel"
    assert report.ok
    trainer.train()
    assert callback.watch is not None
    assert [r.step for r in callback.watch.readings] == [1, 5, 10]
    assert callback.watch.readings[-1].metrics["validation"] > 0
    assert any(name.endswith("scaled_dot_product_attention#0") for name in callback.watch.readings[-1].sites)
    assert callback.watch.report.ok


def test_a_trainer_that_nobody_knows_is_refused() -> None:
    with pytest.raises(gs.GainstageError, match=r"expected an nn\.Module, a gs\.Subject or a trainer, got object"):
        gs.check(object())


def test_a_keras_fit_is_watched() -> None:
    keras = pytest.importorskip("keras")
    from gainstage.adapters.keras_watch import WatchCallback

    model = keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(3)])
    model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    callback = WatchCallback(every=4)
    x, y = X.numpy(), Y.numpy()
    model.fit(x, y, batch_size=32, epochs=2, verbose=0, validation_data=(x, y), callbacks=[callback])
    assert callback.watch is not None
    assert [r.step for r in callback.watch.readings] == [1, 4, 8]
    last = callback.watch.readings[-1]
    assert all((p.gradient or 0) > 0 and (p.update or 0) > 0 for p in last.parameters.values())
    assert last.loss == pytest.approx(1.1, abs=0.3)
    assert last.metrics["validation"] == pytest.approx(1.1, abs=0.3)
    assert "apply" not in model.optimizer.__dict__


def test_what_accelerate_has_prepared_is_watched() -> None:
    accelerate = pytest.importorskip("accelerate")
    from gainstage.adapters.accelerate import watch

    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    raw = torch.optim.SGD(model.parameters(), 0.1)
    ready, optimizer, loader = accelerator.prepare(model, raw, DataLoader(TensorDataset(X, Y), batch_size=32))
    with watch(accelerator, ready, every=1) as seen:
        for x, y in loader:
            with accelerator.accumulate(ready):
                accelerator.backward(F.cross_entropy(ready(x), y))
                optimizer.step()
                optimizer.zero_grad()
    assert [r.step for r in seen.readings] == [1, 2]
    with pytest.raises(gs.GainstageError, match=r"accelerator\.prepare"):
        watch(accelerator, nn.Linear(2, 2))
