"""What is built and pushed again, and what is not."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cluster.images import builder
from cluster.skips import or_skip
from cluster.tools import packages
from cluster.tools.binaries import UnavailableError
from support.eventually import eventually

from .conftest import inspect

CONTEXT = ("LICENSE", "README.md", "pyproject.toml", "images", "operator", "requirements", "sdk")


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A copy of what images are built from, which `build` builds from now."""
    root = tmp_path / "checkout"
    for name in (*CONTEXT, ".dockerignore"):
        source = builder.ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        root.mkdir(exist_ok=True)
        copy(source, root / name)
    monkeypatch.setattr(builder, "ROOT", root)
    return root


@pytest.fixture
def registry(tmp_path) -> Iterator[str]:
    """Address of an empty registry."""
    with or_skip():
        packages.require(packages.REGISTRY)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "registry")}}
    (tmp_path / "config.yml").write_text(json.dumps({"version": 0.1, "storage": storage, "http": {"addr": address}}))
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(tmp_path / "config.yml")], stdout=log, stderr=log)
    try:
        eventually(lambda: httpx.get(f"http://{address}/v2/").is_success, ignoring=(httpx.TransportError,))
        yield address
    finally:
        process.kill()
        process.wait()


def _layers(reference: str) -> list[str]:
    return [layer["digest"] for layer in json.loads(inspect(reference)["Manifest"])["layers"]]


def test_the_same_content_is_the_same_image_wherever_it_lies(build, checkout, monkeypatch):
    here = build("gateway")["gateway"]
    moved = checkout.rename(checkout.with_name("moved"))
    for file in moved.rglob("*.py"):
        file.touch()
    monkeypatch.setattr(builder, "ROOT", moved)
    assert build("gateway")["gateway"] == here


def test_a_change_of_our_code_makes_one_small_layer(build, checkout):
    before = build("operator")["operator"]  # which is not compiled: the steps are those of the others
    with (checkout / "operator/fastchat_operator/__init__.py").open("a") as file:
        file.write(f"CHANGED = {time.time()}\n")
    after = build("operator")["operator"]
    assert _layers(after)[:-1] == _layers(before)[:-1]
    assert _layers(after)[-1] != _layers(before)[-1]


def test_a_failed_build_says_what_failed(build, checkout):
    (checkout / "pyproject.toml").write_text("this is no project")
    with pytest.raises(RuntimeError, match="pyproject"):
        build("gateway")


def test_what_a_checkout_built_last_stays_until_the_checkout_is_gone(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTCHAT_CACHE", str(tmp_path))
    (tmp_path / "images").mkdir()
    for age, checkout, step in ((4, "here", "a"), (3, "here", "b"), (2, "there", "c"), (1, "gone", "d")):
        monkeypatch.setattr(builder, "ROOT", tmp_path / checkout)
        record = builder._record("worker", step * 12, [step * 64])
        os.utime(record, (then := time.time() - age * 3600, then))
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    assert builder._used() == {"b" * 11, "c" * 11}


def test_without_buildah_it_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UnavailableError, match="buildah"):
        builder.build()


def test_an_image_is_pushed_once(build, registry, capfd):
    reference = build("gateway")["gateway"]
    pushed = builder.push(reference, registry)
    assert pushed == f"{registry}/{reference.removeprefix('localhost/')}"
    assert "pushed" in capfd.readouterr().err
    assert builder.push(reference, registry) == pushed
    assert "pushed" not in capfd.readouterr().err
    catalog = httpx.get(f"http://{registry}/v2/fastchat-gateway/tags/list").json()
    assert catalog["tags"] == [reference.rpartition(":")[2]]
