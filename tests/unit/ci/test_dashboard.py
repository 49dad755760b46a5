"""The picture of the dashboard, drawn from answers of a Prometheus as it writes them."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
DRAW = """
import sys
from pathlib import Path
from pages.dashboard.picture import draw

class Answers:
    asked = 0
    def history(self, expression, seconds):
        assert "$" not in expression, expression
        Answers.asked += 1
        return [{"metric": {"model": "m"}, "values": [(0, "1"), (seconds, "NaN")]}] if Answers.asked > 1 else []

draw(Answers(), 60, Path(sys.argv[1]))
print(Answers.asked)
"""


def test_every_panel_of_gateway_and_workers_is_drawn_of_whatever_unit(tmp_path):
    command = [sys.executable, "-c", DRAW, str(tmp_path / "dashboard.png")]
    environ = os.environ | {"PYTHONPATH": f"{ROOT / '.ci'}:{ROOT / 'tests'}"}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    text = (ROOT / "charts/fastchat/files/dashboard.json").read_text()
    assert int(done.stdout) == text.count('"expr"') - text.count("fastchat_operator_")
    assert (tmp_path / "dashboard.png").read_bytes().startswith(b"\x89PNG")
