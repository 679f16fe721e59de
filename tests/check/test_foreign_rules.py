"""Rules of another package are found by their entry point."""

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "rules.md"


def test_a_rule_of_another_package_is_known(tmp_path: Path) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "rules.py").write_text(code, encoding="utf-8")
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gainstage.rules]\nacme = acme.rules\n")
    say = (
        "import torch, gainstage as gs; from gainstage.check import RULES; print(RULES['ACM001'].name);"
        "r = gs.check(torch.nn.Linear(2, 5000), torch.randn(32, 2), select=('ACM',)); print(r.findings[0].code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", say],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["too-wide", "ACM001"], done.stderr
