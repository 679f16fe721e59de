"""How long `gainstage --help` takes, beside `python -c pass` in the same run.

python benchmarks/startup.py [RUNS]
"""

import statistics
import subprocess
import sys
import time

LIMIT_MS = 150
_MAIN = "from gainstage.cli import main; main()"
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "gainstage --help": ["-c", _MAIN, "--help"],
    "gainstage check --help": ["-c", _MAIN, "check", "--help"],
}


def milliseconds(arguments: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return 1e3 * (time.perf_counter() - began)


def main(runs: int) -> None:
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for run in range(runs + 1):
        for name, arguments in COMMANDS.items():  # interleaved, so that a busy moment hits all of them
            took = milliseconds(arguments)
            if run:  # the first run fills the disk cache
                times[name].append(took)
    peer = statistics.median(times["python -c pass"])
    print(f"median of {runs} runs; the bar for gainstage --help is {LIMIT_MS} ms")
    print(f"{'command':<24}{'ms':>8}{'ratio':>8}")
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name:<24}{median:>8.0f}{median / peer:>8.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
