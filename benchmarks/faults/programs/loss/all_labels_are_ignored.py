"""The prompt is masked with -100 up to a length that is the whole row: the mean runs over no label at all."""

from kit import Gpt, Program, adam, as_generated, batches, next_token, plain_step, text

CAUSE = "ignored-labels"


def make(broken: bool) -> Program:
    ids, _ = text()
    model = Gpt()
    labels = ids.clone()
    labels[:, : ids.shape[1] if broken else 4] = -100
    optimizer = adam(model)
    step = plain_step(model, next_token, optimizer, batches(ids, labels, size=32))
    return Program(model, ids[:32], labels[:32], next_token, optimizer, step, as_generated(model), 100)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
