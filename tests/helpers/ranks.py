"""Real gloo processes on this machine: a worker script, launched once a rank, that prints its report as JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def reports_of(worker: Any, world: int, *paths: Path) -> list[dict[str, Any]]:
    """The last line that each rank prints, read as JSON.

    Args:
        worker: the module whose file is run as a script.
        world: how many ranks.
        paths: further arguments of the script, behind rank and world: where the ranks meet.
    """
    single = os.environ | {"OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, worker.__file__, str(rank), str(world), *map(str, paths)],
            env=single,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank in range(world)
    ]
    reports = []
    for process in started:
        out, err = process.communicate(timeout=180)
        assert process.returncode == 0, err.decode()[-2000:]
        reports.append(json.loads(out.decode().splitlines()[-1]))
    return reports
