"""What the thrown exceptions have done, kept where no restoring of the model or of the training step can reach it."""

PASSED: dict[int, int] = {}
RAISED: dict[int, BaseException] = {}
ARMED: set[int] = set()
