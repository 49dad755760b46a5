"""The tools that the clusters are made of: found, or built once."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cluster.tools import binaries, packages
from cluster.tools.binaries import UnavailableError

TESTS = Path(__file__).parents[2]
needs_go = pytest.mark.skipif(not shutil.which("go"), reason="builds with Go")


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTCHAT_CACHE", str(tmp_path))
    return tmp_path


@needs_go
def test_two_checkouts_that_want_the_same_tool_build_it_once(empty_cache):
    command = [sys.executable, "-c", "from cluster.tools import binaries; print(binaries.tools('pod')['pod'])"]
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, env=environment, **pipes) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    assert outputs[0][0] == outputs[1][0] == f"{binaries.built('pod')}\n"
    assert "".join(errors for _, errors in outputs).count("done in") == 1


@needs_go
def test_a_build_that_fails_says_what_the_compiler_said(empty_cache, tmp_path, monkeypatch):
    shutil.copytree(binaries.SOURCES / "pod", tmp_path / "go" / "pod")
    (tmp_path / "go/pod/main.go").write_text("package main\n\nfunc main() { nonsense() }\n")
    monkeypatch.setattr(binaries, "SOURCES", tmp_path / "go")
    with pytest.raises(RuntimeError, match="undefined: nonsense"):
        binaries.tools("pod")


def test_other_locked_versions_are_other_tools(tmp_path, monkeypatch):
    shutil.copytree(binaries.SOURCES / "etcd", tmp_path / "etcd")
    before = binaries.built("etcd")
    monkeypatch.setattr(binaries, "SOURCES", tmp_path)
    assert binaries.built("etcd") == before
    with (tmp_path / "etcd/go.sum").open("a") as file:
        file.write("\n")
    assert binaries.built("etcd") != before


def test_without_go_it_says_which_tools_are_missing(empty_cache, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UnavailableError, match=r"etcd, kubelet: not in .*, and no Go toolchain on PATH"):
        binaries.tools("etcd", "kubelet")


def test_kubebuilders_assets_are_taken_for_the_api_server(monkeypatch):
    monkeypatch.setenv("KUBEBUILDER_ASSETS", "/assets")
    assert binaries.api_server_tools() == {
        "kube-apiserver": Path("/assets/kube-apiserver"),
        "etcd": Path("/assets/etcd"),
        "kubectl": Path("/assets/kubectl"),
    }


def test_packages_are_named_where_they_cannot_be_installed(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UnavailableError, match="missing here: no-such-package; install"):
        packages.require({"no-such-program": "no-such-package", "sh": "dash"})
