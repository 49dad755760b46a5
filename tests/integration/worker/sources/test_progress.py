"""What a worker says of itself while it downloads and loads, against what it then took."""

import time
from collections.abc import Iterator

import httpx
import pytest
from integration.worker.sources.slow_hub import SMOLLM2, slow_hub
from support.s3_server import Wire

from fastchat_worker.sources.files import ModelFiles

_SECONDS = 8.0
"""What the download takes."""
_TOLERANCE = 0.2
_RESOLUTION = 1.0
"""Seconds are told as whole ones, and by a look once a second."""


@pytest.fixture
def wire(tmp_path) -> Iterator[Wire]:
    """The way to a hub that has SmolLM2 as team/tiny."""
    with slow_hub(tmp_path, _SECONDS) as wire:
        yield wire


def _looks(worker) -> Iterator[tuple[float, dict]]:
    """(time, what /ready says of the load) until it is ready."""
    with httpx.Client(base_url=worker.url, timeout=30) as client:
        while (said := client.get("/ready")).status_code == 503:
            assert worker.process.poll() is None, worker.log.read_text()
            yield time.monotonic(), said.json()["loading"]
            time.sleep(0.1)


def test_the_rest_of_a_download_is_known_to_20_percent_in_its_second_half(start_worker, wire, tmp_path):
    env = {"HF_ENDPOINT": wire.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    worker = start_worker("--model-name", "m", "--model-path", "hf://team/tiny", env=env)
    worker.wait_listening()
    looks = list(_looks(worker))
    downloading = [(at, said) for at, said in looks if said["phase"] == "Downloading" and said["total"]]
    ended = next(at for at, said in looks if at > downloading[-1][0])
    assert {said["total"] for _, said in downloading} == {SMOLLM2.stat().st_size}
    done = [said["done"] for _, said in downloading]
    assert done == sorted(done)
    half = [(ended - at, said["seconds"]) for at, said in downloading if said["done"] >= said["total"] / 2]
    off = [(left, told) for left, told in half if told is None or abs(told - left) > _TOLERANCE * left + _RESOLUTION]
    assert len(half) > 10
    assert not off
    phases = list(dict.fromkeys(said["phase"] for _, said in looks))
    assert phases[phases.index("Downloading") :][:2] == ["Downloading", "Loading"]


def test_of_weights_that_are_read_it_says_how_many_bytes_there_are_and_nothing_once_it_is_ready(start_worker):
    worker = start_worker("--model-name", "m", "--model-path", str(SMOLLM2))
    worker.wait_listening()
    said = [load for _, load in _looks(worker) if load["phase"] == "Loading" and load["total"]]
    assert {load["total"] for load in said} == {SMOLLM2.stat().st_size}
    assert all(load["done"] <= load["total"] for load in said)
    assert "loading" not in httpx.get(worker.url + "/ready").json()


def test_the_bytes_of_weights_are_those_of_the_files_that_are_read(tmp_path):
    for name, size in (("config.json", 5), ("model.safetensors", 7), ("model.gguf", 9), ("pytorch_model.bin", 11)):
        (tmp_path / name).write_bytes(bytes(size))
    assert ModelFiles(tmp_path).weight_bytes == 7
    assert ModelFiles(tmp_path, "model.gguf").weight_bytes == 9


def test_a_folder_that_is_no_model_has_no_bytes_of_weights(tmp_path):
    assert ModelFiles(tmp_path).weight_bytes == 0
    assert ModelFiles(tmp_path / "none", "model.gguf").weight_bytes == 0
