"""Our images, run as a cluster runs them: a read-only root, user 65532, no rights, the first process of its own."""

import json
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cluster.images import builder
from cluster.skips import or_skip
from cluster.tools import packages
from support.eventually import eventually


class Container:
    """A container of an image, on this machine's network."""

    def __init__(self, reference: str, bundle: Path, command: list[str]) -> None:
        self._name = f"fastchat-test-{uuid.uuid4().hex[:12]}"
        self._state = bundle / "state"
        (bundle / "root").mkdir(parents=True)
        (bundle / "config.json").write_text(json.dumps(_spec(inspect(reference)["OCIv1"]["config"], command)))
        buildah("from", "--pull=never", f"--name={self._name}", reference)
        self.log = bundle / "log"
        self.process = self._start(bundle)

    def _start(self, bundle: Path) -> "subprocess.Popen[bytes]":
        mount = ["mount", "--bind", f'"$({" ".join(builder.buildah("mount", self._name))})"', str(bundle / "root")]
        run = ["exec", "runc", f"--root={self._state}", "run", f"--bundle={bundle}", self._name]
        alone = ["setpriv", "--pdeathsig", "TERM", "unshare", "--mount", "sh", "-ec"]
        with self.log.open("wb") as log:
            return subprocess.Popen([*alone, f"{' '.join(mount)}\n{' '.join(run)}"], stdout=log, stderr=log)

    def wait(self, seconds: float = 60) -> int:
        """Its exit code."""
        return self.process.wait(seconds)

    def terminate(self) -> int:
        """Its exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait_answers(self, url: str, seconds: float = 300) -> httpx.Response:
        """Its first good answer."""

        def answer() -> httpx.Response | None:
            assert self.process.poll() is None, self.log.read_text()
            found = httpx.get(url, timeout=30)
            return found if found.is_success else None

        return eventually(answer, seconds, said=self.log.read_text, ignoring=(httpx.TransportError,))

    def remove(self) -> None:
        subprocess.run(["runc", f"--root={self._state}", "delete", "--force", self._name], capture_output=True)
        self.process.kill()
        self.process.wait()
        buildah("rm", self._name)


def _spec(config: dict[str, Any], command: list[str]) -> dict[str, Any]:
    """Source: https://github.com/opencontainers/runtime-spec/blob/v1.0.2/config.md"""
    user, group = map(int, config["User"].split(":"))
    return {
        "ociVersion": "1.0.2",
        "root": {"path": "root", "readonly": True},
        "process": {
            "args": command,
            "env": config["Env"],
            "cwd": "/",
            "user": {"uid": user, "gid": group},
            "noNewPrivileges": True,
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]},
    }


def inspect(reference: str) -> dict[str, Any]:
    """What buildah knows of an image: "OCIv1" is its configuration, "Manifest" its manifest's text."""
    return json.loads(buildah("inspect", "--type=image", reference))


def buildah(*arguments: str) -> str:
    command = ["unshare", "--mount", *builder.buildah(*arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="session")
def build(request: pytest.FixtureRequest) -> Callable[..., dict[str, str]]:
    """`builder.build`, which says what it is at; the tests are skipped where it cannot."""

    def build(*names: str) -> dict[str, str]:
        capture = request.config.pluginmanager.getplugin("capturemanager")
        with or_skip(), capture.global_and_fixture_disabled():
            return builder.build(names or tuple(builder.DOCKERFILES))

    return build


@pytest.fixture(scope="session")
def references(build: Callable[..., dict[str, str]]) -> dict[str, str]:
    """Name → reference of all our images."""
    return build()


@pytest.fixture
def start(references: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Container]]:
    """Starts a container of an image with arguments, or with a command in place of its entry point."""
    with or_skip():
        packages.require(packages.CONTAINERS)
    started: list[Container] = []

    def start(name: str, *arguments: str, command: tuple[str, ...] = ()) -> Container:
        entry = command or inspect(references[name])["OCIv1"]["config"]["Entrypoint"]
        started.append(Container(references[name], tmp_path / str(len(started)), [*entry, *arguments]))
        return started[-1]

    yield start
    for container in started:
        container.remove()
