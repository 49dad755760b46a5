"""What stays of a model from the hub: for the next start, for the neighbour, and when the hub is away."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from integration.worker.sources.fetcher import Fetcher
from integration.worker.sources.test_hub import Hub
from support.eventually import eventually
from support.s3_server import UNHURRIED, UNLIMITED, Wire

SIZE = 30_000_000  # bytes of a model that is only fetched


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.gguf"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.fixture
def hub(model) -> Iterator[Hub]:
    """A hub that has the model as team/tiny."""
    hub = Hub(model.parent)
    yield hub
    _stop(hub)


@pytest.fixture
def wire(hub) -> Iterator[Wire]:
    wire = Wire(hub.server_port)
    yield wire
    wire.close()


@pytest.fixture
def env(wire, tmp_path) -> dict[str, str]:
    return {"HF_ENDPOINT": wire.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}


@pytest.fixture
def fetch(env, tmp_path) -> Iterator:
    """Starts a process that fetches over the wire into one cache."""
    started: list[Fetcher] = []

    def start(inside=()) -> Fetcher:
        started.append(Fetcher("hf://team/tiny", tmp_path / f"fetch-{len(started)}.log", env, inside))
        return started[-1]

    yield start
    for fetcher in started:
        fetcher.kill()


def _stop(hub: Hub) -> None:
    hub.shutdown()
    hub.server_close()


def _incomplete(tmp_path: Path) -> list[Path]:
    return list(tmp_path.glob("hf/hub/models--team--tiny/blobs/*.incomplete"))


def test_a_model_is_served_from_the_cache_while_the_hub_is_away(start_worker, tiny_folder, tmp_path):
    hub = Hub(tiny_folder)
    env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    options = ["--model-name", "m", "--model-path", "hf://team/tiny"]
    start_worker(*options, env=env).wait_ready().stop()
    _stop(hub)
    worker = start_worker(*options, env=env).wait_ready()
    body = {"model": "m", "prompt": "x", "max_tokens": 2}
    assert httpx.post(worker.url + "/v1/completions", json=body, timeout=60).status_code == 200
    [warning] = [line for line in worker.log.read_text().splitlines() if "WARNING" in line]
    assert "the hub does not tell what team/tiny has (" in warning
    assert warning.endswith("); serving what the cache has")


def test_a_hub_that_takes_the_call_and_never_answers_is_away_too(fetch, wire):
    fetch().wait_here().kill()
    wire.rate = 0
    assert "(timed out); serving what the cache has" in fetch().wait_here().log


def test_a_cache_that_lacks_a_file_does_not_stand_in_for_the_hub(fetch, hub, tmp_path):
    fetch().wait_here().kill()
    _stop(hub)
    [file] = tmp_path.glob("hf/hub/models--team--tiny/snapshots/*/model.gguf")
    file.unlink()
    told = fetch().refusal()
    assert told.startswith("cannot download team/tiny: ")  # the server is gone, or was just going
    assert told.endswith("; check the network, HF_ENDPOINT and the disk")


def test_a_download_tells_how_far_it_is(fetch, wire):
    wire.rate = 6e6
    log = fetch().wait_here().log
    seen = [line.partition(": ")[2] for line in log.splitlines() if "report: downloading team/tiny: " in line]
    shares = [float(line.partition("team/tiny: ")[2].partition(" of 0.03 GB, ")[0]) for line in seen]
    assert len(shares) > 3
    assert shares == sorted(shares)
    assert 0.01 < shares[-1] <= 0.03
    assert "INFO downloaded team/tiny, 0.03 GB in " in log


def test_of_two_workers_with_one_cache_one_downloads_and_the_other_waits(fetch, wire):
    wire.rate = UNHURRIED
    fetch().wait_for("report: downloading")
    second = fetch().wait_for("report: another worker is downloading team/tiny: ")
    assert "INFO waiting for " in second.log
    wire.rate = UNLIMITED
    second.wait_here()
    assert wire.passed < SIZE + 100_000


def test_who_waits_takes_over_from_a_killed_one(fetch, wire):
    wire.rate = UNHURRIED
    first = fetch().wait_for("report: downloading")
    second = fetch().wait_for("report: another worker is downloading")
    first.kill()
    second.wait_for("report: downloading")
    wire.rate = UNLIMITED
    second.wait_here()


def test_what_a_killed_worker_left_is_removed_once_nobody_can_be_at_it(fetch, wire, tmp_path):
    wire.rate = UNHURRIED
    first = fetch().wait_for("report: downloading")
    eventually(lambda: _incomplete(tmp_path))
    first.kill()
    [left] = _incomplete(tmp_path)
    wire.rate = UNLIMITED
    fetch().wait_here()
    assert left.exists()
    an_hour_ago = time.time() - 3600
    os.utime(left, (an_hour_ago, an_hour_ago))
    shutil.rmtree(left.parents[1] / "snapshots")
    next(path for path in left.parent.iterdir() if path != left).unlink()
    fetch().wait_here()
    assert not left.exists()


def test_a_disk_without_room_is_told_with_both_sizes_before_the_download(fetch, wire, tmp_path):
    (tmp_path / "hf").mkdir()
    small = [
        "unshare",
        *(["--map-root-user"] if os.geteuid() else []),
        "--mount",
        "sh",
        "-c",
        f'mount -t tmpfs -o size=20m x {tmp_path}/hf && "$@"',
        "",
    ]
    if subprocess.run([*small, "true"], capture_output=True).returncode:
        pytest.skip("no mount namespaces here")
    assert fetch(small).refusal() == (
        f"team/tiny needs 0.03 GB more in {tmp_path}/hf/hub, where 0.02 GB are free: "
        "enlarge that volume, or choose another folder by HF_HOME"
    )
    assert wire.passed < 100_000


def test_a_claim_is_left_to_the_operator(fetch, tmp_path):
    told = Fetcher("pvc://claim/path", tmp_path / "log", {}).refusal()
    assert told == "pvc://claim/path: the operator mounts a claim; without it mount it yourself and give file:///path"
