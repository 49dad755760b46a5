"""The health check for Argo CD, as the recipe shows it, on what the operator writes."""

import json
import subprocess
from pathlib import Path

import pytest
from cluster.skips import or_skip
from cluster.tools import packages
from support.pages.blocks import ROOT, blocks

RECIPE = ROOT / "docs/recipes/gitops.md"


@pytest.fixture(scope="module")
def health(tmp_path_factory):
    """What the check says of a ModelDeployment: status and message."""
    with or_skip():
        packages.require(packages.LUA)
    (script,) = (block.text for block in blocks(RECIPE) if block.language == "lua")
    file: Path = tmp_path_factory.mktemp("lua") / "health.lua"

    def check(status, generation=2):
        obj = lua({"metadata": {"generation": generation}, "status": status})
        shown = f"local said = check({obj})\nprint(said.status)\nprint(said.message)"
        file.write_text(f"local function check(obj)\n{script}\nend\n{shown}")
        done = subprocess.run(["lua5.4", str(file)], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return tuple(done.stdout.splitlines())

    return check


def lua(value) -> str:
    """A value as Lua writes it."""
    match value:
        case dict():
            return "{" + ", ".join(f"[{json.dumps(key)}] = {lua(inner)}" for key, inner in value.items()) + "}"
        case list():
            return "{" + ", ".join(map(lua, value)) + "}"
        case None:
            return "nil"
        case _:
            return json.dumps(value)


def status(ready, reason, progressing="False", generation=2):
    conditions = [
        {"type": "Progressing", "status": progressing, "reason": "Updating", "message": "1 of 2 workers are new"},
        {"type": "Ready", "status": ready, "reason": reason, "message": f"it is {reason}"},
    ]
    return {"observedGeneration": generation, "conditions": conditions}


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        (status("True", "Ready"), "Healthy"),
        (status("True", "Ready", progressing="True"), "Progressing"),
        (status("False", "Loading"), "Progressing"),
        (status("False", "Starting"), "Progressing"),
        (status("False", "ScaledToZero"), "Healthy"),
        (status("False", "ModelLoadFailed"), "Degraded"),
        (status("False", "Unschedulable"), "Degraded"),
        (status("True", "Unschedulable"), "Healthy"),
    ],
)
def test_health_follows_the_condition_ready(health, seen, wanted):
    said, message = health(seen)
    assert said == wanted
    assert message.startswith("it is ")


@pytest.mark.parametrize("seen", [None, {}, status("True", "Ready", generation=1)])
def test_what_the_operator_has_not_seen_yet_is_progressing(health, seen):
    assert health(seen)[0] == "Progressing"
