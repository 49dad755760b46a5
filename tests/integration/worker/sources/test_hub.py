"""A model from a hub: the real client library against a server that speaks the hub's HTTP API."""

import functools
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from integration.worker.sources.fetcher import Fetcher
from support.eventually import eventually
from support.gguf_file import write_gguf

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_secret"


class Hub(ThreadingHTTPServer):
    """Serves one folder as team/tiny (public), team/gated (with TOKEN) and nothing else."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.asked: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def files(self) -> list[Path]:
        return [path for path in sorted(self.folder.rglob("*")) if path.is_file()]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._serve()

    def do_GET(self):
        self._serve()

    def _serve(self) -> None:
        self.server.asked.append(self.path)
        path = self.path.partition("?")[0].removeprefix("/api/models/").strip("/")
        repo = "/".join(path.split("/")[:2])
        if repo not in ("team/tiny", "team/gated"):
            return self._error(404, "RepoNotFound")
        if repo == "team/gated" and self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self._error(403, "GatedRepo")
        kind, _, rest = path.removeprefix(repo + "/").partition("/")
        revision, _, name = rest.partition("/")
        if revision not in ("main", COMMIT):
            return self._error(404, "RevisionNotFound")
        match kind:
            case "revision":
                siblings = [{"rfilename": self._name(file)} for file in self.server.files]
                return self._json({"id": repo, "sha": COMMIT, "siblings": siblings})
            case "tree":
                return self._json([self._entry(file) for file in self.server.files])
            case "resolve":
                return self._file(self.server.folder / name)
            case _:
                return self._error(404, "EntryNotFound")

    def _entry(self, file: Path) -> dict:
        size = file.stat().st_size
        large = {"lfs": {"oid": _digest(file), "size": size, "pointerSize": 100}} if _is_large(file) else {}
        return {"type": "file", "path": self._name(file), "size": size, "oid": _git(file), **large}

    def _name(self, file: Path) -> str:
        return str(file.relative_to(self.server.folder))

    def _file(self, file: Path) -> None:
        if file.is_file():
            self._send(200, file.read_bytes(), {"ETag": f'"{_digest(file)}"', "X-Repo-Commit": COMMIT})
        else:
            self._error(404, "EntryNotFound")

    def _json(self, value) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json", "X-Repo-Commit": COMMIT})

    def _error(self, status: int, code: str) -> None:
        self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": code})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _is_large(file: Path) -> bool:
    return file.suffix in (".gguf", ".safetensors", ".bin")


def _digest(file: Path) -> str:
    """What the hub names a file by."""
    return _hashed(file, file.stat().st_mtime_ns, "sha256") if _is_large(file) else _git(file)


def _git(file: Path) -> str:
    return _hashed(file, file.stat().st_mtime_ns, "sha1", b"blob %d\0" % file.stat().st_size)


@functools.cache
def _hashed(file: Path, _changed: int, algorithm: str, header: bytes = b"") -> str:
    return hashlib.new(algorithm, header + file.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def hub(tiny_folder) -> Iterator[Hub]:
    hub = Hub(tiny_folder)
    yield hub
    hub.shutdown()


@pytest.fixture
def start(start_worker, hub, tmp_path):
    """Starts a worker that knows this hub and has an empty cache."""

    def start(source: str, **env: str):
        settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1", **env}
        return start_worker("--model-name", "tiny", "--model-path", source, env=settings)

    return start


def _answers(worker) -> bool:
    body = {"model": "tiny", "prompt": "x", "max_tokens": 2}
    return httpx.post(worker.url + "/v1/completions", json=body).status_code == 200


def _last_words(worker) -> str:
    assert worker.process.wait(60) == 1
    log = worker.log.read_text()
    assert "Traceback" not in log
    return log.strip().splitlines()[-1]


@pytest.mark.parametrize("source", ["hf://team/tiny", f"hf://team/tiny@{COMMIT}", "team/tiny"])
def test_a_model_is_downloaded_and_served(start, source):
    assert _answers(start(source).wait_ready())


def test_a_second_start_downloads_nothing(start, hub):
    start("hf://team/tiny").wait_ready()
    before = len(hub.asked)
    start("hf://team/tiny").wait_ready()
    assert not [path for path in hub.asked[before:] if "safetensors" in path]


def test_without_a_network_the_cache_serves(start):
    start("hf://team/tiny").wait_ready()
    assert _answers(start("hf://team/tiny", HF_HUB_OFFLINE="1").wait_ready())


def test_a_gated_model_needs_a_token(start):
    assert "HF_TOKEN" in _last_words(start("hf://team/gated"))
    assert _answers(start("hf://team/gated", HF_TOKEN=TOKEN).wait_ready())


def test_a_model_that_is_not_there_is_told(start):
    assert "no model team/none" in _last_words(start("hf://team/none"))


def test_a_revision_that_is_not_there_is_told(start):
    assert "no revision old" in _last_words(start("hf://team/tiny@old"))


def test_a_hub_that_cannot_be_reached_is_told(start):
    line = _last_words(start("hf://team/tiny", HF_ENDPOINT="http://127.0.0.1:9"))
    assert "cannot download team/tiny" in line
    assert "HF_ENDPOINT" in line


@pytest.fixture
def fetched(tmp_path):
    """What a process that fetches from a hub with these files has afterwards, or why it has nothing."""

    def fetched(source: str, *files: str, cache: str = "hf", **env: str) -> set[str] | str:
        folder = tmp_path / "hub"
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"{name} {{}}")
        hub = Hub(folder)
        settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / cache), "HF_HUB_DISABLE_XET": "1"}
        fetcher = Fetcher(source, tmp_path / "fetch.log", settings | env)
        try:
            eventually(
                lambda: fetcher.process.poll() is not None or "INFO here" in fetcher.log, said=lambda: fetcher.log
            )
            if fetcher.process.poll() is not None:
                return fetcher.refusal()
        finally:
            fetcher.kill()
            hub.shutdown()
            hub.server_close()
        [snapshot] = tmp_path.glob(f"{cache}/hub/models--team--tiny/snapshots/*")
        return {str(path.relative_to(snapshot)) for path in snapshot.rglob("*") if not path.is_dir()}

    return fetched


WHOLE = ("config.json", "tokenizer.model", "model-00001-of-00001.safetensors", "model.safetensors.index.json")
COPIES = ("pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json", "original/consolidated.00.pth",
          "onnx/model.onnx", "tf_model.h5", "model.Q4_K_M.gguf", "README.md")  # fmt: skip
GGUF = ("tiny.Q4_K_M.gguf", "tiny.Q8_0.gguf", "BF16/tiny.BF16.gguf", "mmproj-tiny.gguf", "README.md")


def test_of_several_copies_of_the_weights_one_is_fetched(fetched):
    assert fetched("hf://team/tiny", *WHOLE, *COPIES) == set(WHOLE)


@pytest.mark.parametrize(
    ("source", "file"),
    [
        ("hf://team/tiny:Q4_K_M", "tiny.Q4_K_M.gguf"),
        ("team/tiny:q8_0", "tiny.Q8_0.gguf"),
        (f"hf://team/tiny@{COMMIT}:Q8_0", "tiny.Q8_0.gguf"),
        ("hf://team/tiny:tiny.Q8_0.gguf", "tiny.Q8_0.gguf"),
        ("hf://team/tiny/BF16/tiny.BF16.gguf", "BF16/tiny.BF16.gguf"),
        ("hf://team/tiny@main:BF16/tiny.BF16.gguf", "BF16/tiny.BF16.gguf"),
    ],
)
def test_of_several_gguf_files_the_one_that_is_named_is_fetched(fetched, source, file):
    assert fetched(source, *GGUF) == {file}


def test_several_gguf_files_of_which_none_is_named_are_told(fetched):
    assert fetched("hf://team/tiny", *GGUF) == (
        "hf://team/tiny holds several GGUF files; name one of BF16/tiny.BF16.gguf, tiny.Q4_K_M.gguf, tiny.Q8_0.gguf, "
        "such as hf://team/tiny:BF16/tiny.BF16.gguf"
    )


def test_a_second_gguf_file_beside_a_first_is_the_one_that_is_served_without_a_network(fetched):
    fetched("hf://team/tiny:Q4_K_M", *GGUF)
    fetched("hf://team/tiny:Q8_0", *GGUF)
    assert isinstance(fetched("hf://team/tiny:Q8_0", HF_HUB_OFFLINE="1"), set)
    assert "cannot download team/tiny:BF16: " in fetched("hf://team/tiny:BF16", HF_HUB_OFFLINE="1")
    assert "several GGUF files" in fetched("hf://team/tiny", HF_HUB_OFFLINE="1")


def test_a_gguf_file_that_is_named_is_served(start_worker, tmp_path):
    folder = tmp_path / "hub"
    (folder / "small").mkdir(parents=True)
    write_gguf(folder / "small" / "tiny.F32.gguf")
    write_gguf(folder / "tiny.broken.gguf", without="blk")
    hub = Hub(folder)
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    assert _answers(start_worker("--model-name", "tiny", "--model-path", "team/tiny:F32", env=settings).wait_ready())
    hub.shutdown()
    hub.server_close()
