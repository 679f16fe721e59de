"""The data set shifts the labels by one and the loss shifts them again: position t learns token t + 2.

Source: https://github.com/huggingface/transformers/issues/47394
"""

from kit import Gpt, Program, adam, as_generated, batches, next_token, plain_step, text

CAUSE = "label-shift"


def make(broken: bool) -> Program:
    ids, _ = text()
    model = Gpt()
    optimizer = adam(model)
    labels = ids.roll(-1, 1) if broken else ids
    step = plain_step(model, next_token, optimizer, batches(ids, labels, size=32))
    return Program(model, ids[:32], labels[:32], next_token, optimizer, step, as_generated(model), 250)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
