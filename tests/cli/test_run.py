"""`gainstage run` on scripts that were written without it, and `gainstage watch` on what they leave."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from gainstage.cli import main


@pytest.fixture(autouse=True)
def no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where marimo is imported, as by other tests of this process, Transformers' Trainer asks for IPython."""
    from transformers.utils import import_utils

    monkeypatch.delitem(sys.modules, "marimo", raising=False)
    import_utils.is_in_notebook.cache_clear()


SCRIPTS = Path(__file__).parents[1] / "helpers" / "scripts"
PLAIN = """
import sys
import torch
from torch import nn

torch.manual_seed(0)
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 32), nn.Linear(32, 3)
    def forward(self, x):
        return self.b(torch.relu(self.a(x)))

model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=float(sys.argv[1]) if len(sys.argv) > 1 else 0.1)
criterion = nn.CrossEntropyLoss()
for step in range(40):
    x = torch.randn(64, 8)
    y = (x[:, :3]).argmax(1)
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
print("done", step, sys.argv[1:])
"""
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(PLAIN)
    before = set(sys.modules)
    yield lambda *args: CliRunner().invoke(main, list(args), catch_exceptions=False)
    for name in set(sys.modules) - before:
        if name.startswith("package"):
            del sys.modules[name]


def test_a_script_is_checked_at_its_first_step_with_its_own_lines(run: Run) -> None:
    result = run("run", "train.py")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "train.py up to its first step"
    rows = {line.split()[0]: line.split() for line in lines[1:8] if line.strip()}
    assert rows["model"][1:] == ["Net,", "387", "parameters", "train.py:21"]
    assert rows["batch"][1:] == ["float32", "64x8"]
    assert rows["target"][1:] == ["int64", "64"]
    assert rows["loss"][2:] == ["by", "cross_entropy", "train.py:21"]
    assert rows["optimizer"][1:] == ["SGD(lr=0.1)", "train.py:23"]
    assert "done" not in result.output
    assert max(map(len, lines)) <= 80


def test_arguments_are_the_scripts_and_findings_name_its_lines(run: Run) -> None:
    result = run("run", "train.py", "1000")
    assert result.exit_code == 1
    assert "OPT804" in result.stdout
    assert "SGD(lr=1e+03)" in result.stdout
    assert "(train.py:" in result.stdout
    assert run("run", "--exit-zero", "train.py", "1000").exit_code == 0


def test_a_module_of_a_package_is_run_like_python_does(run: Run, tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "train.py").write_text(PLAIN)
    result = run("run", "-m", "package.train")
    assert result.exit_code == 0, result.output
    assert "Net, 387 parameters" in result.stdout


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("print(1)", "ended without an optimizer step. Seen: 0 forward passes"),
        ("import sys; sys.exit(3)", "ended without an optimizer step, by sys.exit(3)"),
        ("1 / 0", "raised ZeroDivisionError: division by zero (s.py, line 1) before its first step"),
        (
            "import torch\nm = torch.nn.Linear(2, 2)\nfor _ in range(3): m(torch.ones(1, 2)).sum().backward()",
            "Seen: 3 forward passes of Linear (3), 3 backward passes, 0 optimizer steps.",
        ),
        ("import time\nwhile True: time.sleep(0.01)", "made no optimizer step within 0.2 seconds"),
    ],
)
def test_a_script_that_never_steps_gives_one_message(run: Run, tmp_path: Path, source: str, said: str) -> None:
    (tmp_path / "s.py").write_text(source)
    result = run("run", "--patience", "0.2" if "while" in source else "60", "s.py")
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


def test_a_missing_script_and_contradictions_are_told(run: Run) -> None:
    assert "That directory holds train.py" in " ".join(run("run", "trian.py").stderr.split())
    assert run("run").exit_code == 2
    assert "add --and-go-on" in run("run", "--record", "x.jsonl", "train.py").stderr


def test_a_script_that_catches_everything_is_ended_all_the_same(tmp_path: Path) -> None:
    script = tmp_path / "stubborn.py"
    tried = """    while True:
        try:
            loss.backward(retain_graph=True)
            optimizer.step()
        except:
            pass"""
    script.write_text(PLAIN.replace("    loss.backward()\n    optimizer.step()", tried))
    done = subprocess.run(
        [sys.executable, "-m", "gainstage", "run", str(script)],
        capture_output=True, text=True, timeout=100, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    assert "Net, 387 parameters" in done.stdout
    assert "caught the exception that ends it (a bare except:)" in " ".join(done.stderr.split())


def test_it_goes_on_under_watch_and_the_run_can_be_shown(run: Run, tmp_path: Path) -> None:
    result = run("run", "--and-go-on", "--every", "10", "--record", "run.jsonl", "train.py")
    assert result.exit_code == 0, result.output
    assert "done 39 []" in result.stderr
    assert "watched for 40 steps" in result.stdout
    shown = run("watch", "run.jsonl")
    assert shown.exit_code == 0
    assert "step 40  loss" in shown.stdout
    assert "No findings." in shown.stdout
    page = run("watch", "run.jsonl", "--output-format", "html").stdout
    assert page.startswith("<!doctype html>")
    assert page.count("<svg") == 4
    assert "<script" not in page
    assert len(page) < 500_000
    data = run("watch", "run.jsonl", "--output-format", "json").stdout
    assert '"ok": true' in data


def test_of_several_ranks_only_the_first_speaks_and_records(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    result = run("run", "--and-go-on", "--every", "10", "--record", "run.jsonl", "train.py")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert not (tmp_path / "run.jsonl").exists()


def test_a_run_that_is_followed_tells_its_reports_and_findings_until_ctrl_c(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gainstage.cli import watch as command
    from gainstage.watch import Header, Reading

    lines = [msgspec.json.encode(Header(1, "Net", 10, 10))]
    lines += [
        msgspec.json.encode(Reading(step=10 * n, losses=[1.0 / n + 0.01 * i for i in range(10)], training=True))
        for n in range(1, 8)
    ]
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            raise KeyboardInterrupt
        with path.open("ab") as file:  # the run goes on, in evaluation mode
            file.write(msgspec.json.encode(Reading(step=80, losses=[0.1] * 10, training=False)) + b"\n")

    monkeypatch.setattr(command.time, "sleep", sleep)
    result = run("watch", "run.jsonl", "--follow")
    told = result.stdout.splitlines()
    assert [line.split()[1] for line in told[:7]] == ["10", "20", "30", "40", "50", "60", "70"]
    assert told[7].startswith("step 80  loss 0.1")
    assert told[8].startswith("step 80: OPT809 training-in-eval-mode at model")


def test_what_is_no_run_is_told(run: Run) -> None:
    result = run("watch", "train.py")
    assert result.exit_code == 2
    assert "is no run of a watch" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("script", "models"),
    [
        (["gan.py"], ["Discriminator, 2,464", "Generator, 6,320"]),
        (["ppo.py", "--num-iterations", "2"], ["Agent, 9,155"]),
        (["diffusion.py", "30"], ["Unet, 31,921"]),
        (["vae.py"], ["VAE, 15,480"]),
        (["word_lm.py", "--batches", "40"], ["RNNModel, 18,001"]),
        (["segmentation.py", "--amp"], ["UNet, 29,634"]),
        (["lightning_digits.py", "30"], ["LitClassifier, 4,810"]),
        (["hf_trainer.py", "12"], ["GPT2LMHeadModel, 28,032"]),
    ],
    ids=lambda value: value[0].partition(".")[0] if value[0].endswith(".py") else "",
)
def test_scripts_in_the_manner_of_known_ones_run_unmodified_and_without_an_alarm(
    run: Run, script: list[str], models: list[str]
) -> None:
    """Every script is checked before its first update, and then trains to its end under watch."""
    name, *args = script
    result = run("run", "--and-go-on", "--every", "5", str(SCRIPTS / name), *args)
    assert result.exit_code == 0, result.output
    for model in models:
        assert f"{model} parameters" in result.stdout
    assert result.stdout.count("watched for") == len(models)
    assert "could not be computed again" not in result.stdout
    assert "no backward pass was seen" not in result.output
