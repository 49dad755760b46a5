"""`fastchat up` as a process, and stand-ins for gateway and worker: proved here is who starts and stops whom."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from support.eventually import eventually

QUICKSTART = Path(__file__).parents[4] / "examples" / "quickstart.yaml"

WORKER = """
import argparse, http.server, json, os, signal, sys, time

parser = argparse.ArgumentParser()
for flag in ("--model-name", "--model-path", "--task", "--tensor-parallel-size", "--host", "--port", "--dtype"):
    parser.add_argument(flag)
args = parser.parse_args()
born = time.monotonic()
print("importing", args.model_path, "as", args.dtype)
if "FAIL" in os.environ:
    print("a line before")
    sys.exit(os.environ["FAIL"])
if "STUBBORN" in os.environ:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ready = time.monotonic() - born >= float(os.environ.get("LOAD_SECONDS", 0))
        body = {"data": [{"id": args.model_name}], "status": "loading", "detail": "reading weights"}
        self.send_response(200 if ready or self.path != "/ready" else 503)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass

http.server.HTTPServer((args.host, int(args.port)), Handler).serve_forever()
"""

GATEWAY = """
import argparse, http.server, json, os, signal, urllib.request

parser = argparse.ArgumentParser()
for flag in ("--host", "--port", "--queue-max-requests", "--queue-timeout-seconds", "--allowed-hosts"):
    parser.add_argument(flag)
parser.add_argument("--worker", action="append")
parser.add_argument("--alias", action="append", default=[])
parser.add_argument("--no-access-log", action="store_true")
args = parser.parse_args()
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        cards = [{"id": alias.split("=")[0]} for alias in args.alias]
        for worker in args.worker:
            try:
                cards += json.load(urllib.request.urlopen(worker + "/v1/models", timeout=1))["data"]
            except OSError:
                pass
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"data": cards}).encode())

    def log_message(self, *_):
        pass

http.server.HTTPServer((args.host, int(args.port)), Handler).serve_forever()
"""

MANIFEST = """
apiVersion: fastchat.io/v1alpha1
kind: ModelDeployment
metadata: {name: NAME}
spec:
  model: {source: hf://org/name, aliases: [NAME-alias]}
  engine: {args: [--dtype=float32], env: [ENV]}
  replicas: REPLICAS
"""


def _as_from_a_shell(tty: int | None) -> None:
    """Signals and terminal as a shell sets them; whoever runs the tests may ignore SIGHUP (nohup) or SIGINT (&)."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    if tty is not None:
        fcntl.ioctl(tty, termios.TIOCSCTTY, 0)


def _command(child: psutil.Process) -> str:
    """Its command line; empty once it has ended."""
    try:
        return " ".join(child.cmdline())
    except psutil.NoSuchProcess:  # ended, or ended and not yet waited for
        return ""


class Up:
    """A running `fastchat up`; with `tty` in a terminal of its own."""

    def __init__(self, argv: list[str], env: dict[str, str], folder: Path, tty: int | None = None) -> None:
        self.out, self.err = folder / "out", folder / "err"
        self.err.touch()
        with self.out.open("wb") as out, self.err.open("ab") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fastchat", "up", *argv],
                env=env,
                cwd=folder,
                stdin=tty,
                stdout=out,
                stderr=err if tty is None else tty,
                start_new_session=tty is not None,
                preexec_fn=lambda: _as_from_a_shell(tty),
            )
        self.seen: set[psutil.Process] = set()

    def said(self) -> str:
        return self.err.read_text() + self.out.read_text()

    def until(self, pattern: str, seconds: float = 60) -> re.Match[str]:
        """Wait for it to say something."""

        def match() -> re.Match[str] | None:
            has_ended = self.process.poll() is not None
            found = re.search(pattern, self.said())
            assert found or not has_ended, self.said()
            return found

        return eventually(match, seconds, said=self.said)

    def exit_code(self, seconds: float = 60) -> int:
        return self.process.wait(timeout=seconds)

    def children(self, name: str = "") -> list[psutil.Process]:
        """What it started; by name the workers of one deployment, or the gateway."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        self.seen.update(found)
        return [child for child in found if name in _command(child)]

    def end(self) -> None:
        """Leave nothing behind, whatever happened."""
        if self.process.poll() is None:
            self.children()
            self.process.kill()
            self.process.wait()
        for child in self.left():
            child.kill()

    def left(self) -> list[psutil.Process]:
        """Of all that `children` ever returned, what still runs."""
        return [child for child in self.seen if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def start_up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Starts `fastchat up` with the given arguments; `stand_ins=False` takes the real gateway and worker."""
    started: list[Up] = []
    for name, code in (("fastchat_worker", WORKER), ("fastchat_gateway", GATEWAY)):
        (tmp_path / "stand_ins" / name).mkdir(parents=True)
        (tmp_path / "stand_ins" / name / "__main__.py").write_text(code)
        (tmp_path / "stand_ins" / name / "__init__.py").touch()

    def start(*argv: str, stand_ins: bool = True, tty: int | None = None) -> Up:
        env = {**os.environ, "PYTHONPATH": str(tmp_path / "stand_ins")} if stand_ins else dict(os.environ)
        started.append(Up([*argv], env, tmp_path, tty))
        return started[-1]

    yield start
    for up in started:
        up.end()


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """The real gateway and workers on the models of examples/quickstart.yaml."""
    up = Up([str(QUICKSTART), "--port", "0"], dict(os.environ), tmp_path_factory.mktemp("quickstart"))
    try:
        up.until("Serving", seconds=180)
        yield up
    finally:
        up.end()


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., str]:
    """Writes a deployment of stand-in workers that the given environment variables steer."""

    def write(name: str, replicas: int = 1, **env: str) -> str:
        file = tmp_path / f"{name}.yaml"
        variables = ", ".join(f"{{name: {key}, value: '{value}'}}" for key, value in env.items())
        text = MANIFEST.replace("NAME", name).replace("REPLICAS", str(replicas)).replace("ENV", variables)
        file.write_text(text)
        return str(file)

    return write
