"""`gainstage audit`: where the values of a model, a file or shards come from."""

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

LOADED = """
from safetensors.torch import load_model
from nets import build


def loaded():
    model = build()
    load_model(model, "w.safetensors")
    return model
"""


@pytest.fixture
def audit(run):
    started = run("init", "nets.py:with_example", "--seed", "3", "--output-format", "json", "-o", "w.safetensors")
    assert started.exit_code == 0
    Path("plan.json").write_text(started.stdout)

    def said(*arguments: str) -> tuple[int, str]:
        result = run("audit", *arguments, "--plan", "plan.json")
        return result.exit_code, " ".join(result.output.split())

    return said


def test_weights_that_were_written_are_as_drawn_from_their_seed_only(audit) -> None:
    assert audit("w.safetensors", "--seed", "3")[1].endswith("seed 3 draws 6 as drawn")
    assert audit("w.safetensors", "--seed", "3")[0] == 0
    code, said = audit("w.safetensors", "--seed", "4")
    assert code == 1
    assert said.endswith("3 as drawn, 3 re-drawn")


def test_shards_are_given_in_the_order_of_their_ranks(audit) -> None:
    whole = {name: t for name, t in load_file("w.safetensors").items() if not name.startswith("4.")}
    for rank in (0, 1):
        save_file({name: t.chunk(2)[rank].clone() for name, t in whole.items()}, f"r{rank}.safetensors")
    assert audit("r0.safetensors", "r1.safetensors", "--seed", "3")[1].endswith("4 as drawn, 2 missing")
    code, said = audit("r0.safetensors", "r0.safetensors", "--seed", "3")
    assert code == 1
    assert "duplicated" in said
    code, said = audit("r0.safetensors")
    assert code == 2
    assert "shards that make up '0.bias' of shape 16" in said


def test_a_model_is_built_and_what_was_loaded_is_known(audit) -> None:
    code, said = audit("nets.py:build")
    assert code == 1
    assert "re-drawn" in said
    Path("loads.py").write_text(LOADED)
    code, said = audit("loads.py:loaded", "--loaded", "w.safetensors")
    assert code == 0
    assert said.endswith("6 loaded")


def test_what_is_no_file_of_weights_is_said_in_one_message(audit) -> None:
    Path("no.safetensors").write_text("x")
    code, said = audit("no.safetensors")
    assert code == 2
    assert "expected a safetensors file; no.safetensors is none" in said
