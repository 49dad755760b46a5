"""A model from a hub: the real client library against a server that speaks the hub's HTTP API."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

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
                siblings = [{"rfilename": file.name} for file in self.server.folder.iterdir()]
                return self._json({"id": repo, "sha": COMMIT, "siblings": siblings})
            case "tree":
                return self._json([self._entry(file) for file in self.server.folder.iterdir()])
            case "resolve":
                return self._file(self.server.folder / name)
            case _:
                return self._error(404, "EntryNotFound")

    def _entry(self, file: Path) -> dict:
        size = file.stat().st_size
        large = {"lfs": {"oid": _digest(file), "size": size, "pointerSize": 100}} if _is_large(file) else {}
        return {"type": "file", "path": file.name, "size": size, "oid": _git(file), **large}

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
    return file.suffix in (".gguf", ".safetensors")


def _digest(file: Path) -> str:
    """What the hub names a file by."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if _is_large(file) else _git(file)


def _git(file: Path) -> str:
    content = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


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
