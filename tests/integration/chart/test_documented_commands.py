"""The commands of README and quickstarts against a real API server, typed as they stand there, in their order."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cluster.tools import packages
from support.pages.blocks import QUICKSTARTS, ROOT, commands, write_files

PAGES = [page for page in QUICKSTARTS if commands(page, "api server")]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with what a checkout has that commands name."""
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/bin").symlink_to(Path(sys.executable).parent)
    for name in ("charts", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.fixture
def shell(checkout, helm, api_server, release):
    """Runs a block in the folder, with the real helm and kubectl."""
    environ = helm.environ | {"KUBECONFIG": str(api_server.kubeconfig), "NO_PROXY": "*"}
    environ["PATH"] = os.pathsep.join(
        [str(helm.binary.parent), str(api_server.kubectl_binary.parent), os.environ["PATH"]]
    )

    def run(text: str) -> str:
        packages.require_named(text)
        command = ["bash", "-euo", "pipefail", "-c", text]
        done = subprocess.run(command, cwd=checkout, env=environ, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        return done.stdout

    yield run
    api_server.kubectl("delete", "namespace", "models", "--ignore-not-found", "--wait=false")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_command_for_a_cluster_is_accepted(page, checkout, shell):
    write_files(page, checkout)
    said = [shell(block.text) for block in commands(page, "api server")]
    assert any("modeldeployment.fastchat.io/" in text for text in said)


def test_pages_with_commands_for_a_cluster_are_found():
    assert {page.name for page in PAGES} == {"README.md", "kind.md", "gpu-cluster.md"}
