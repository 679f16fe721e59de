"""For processes that a test interrupts."""

import signal


def answers_ctrl_c() -> None:
    """As `preexec_fn`: where a shell runs the tests in the background, SIGINT is ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
