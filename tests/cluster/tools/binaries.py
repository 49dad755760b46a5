"""The Go-built tools of the test cluster: built once per locked version, kept in the cache, shared by all checkouts."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "go"

# Tool: the folder of its go.mod, and the package in it.
TOOLS = {
    "etcd": ("etcd", "go.etcd.io/etcd/server/v3"),
    "kube-apiserver": ("kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"),
    "kube-controller-manager": ("kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    "kube-scheduler": ("kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler"),
    "kubelet": ("kubernetes", "k8s.io/kubernetes/cmd/kubelet"),
    "kube-proxy": ("kubernetes", "k8s.io/kubernetes/cmd/kube-proxy"),
    "kubectl": ("kubernetes", "k8s.io/kubernetes/cmd/kubectl"),
    "coredns": ("coredns", "."),
    "helm": ("helm", "helm.sh/helm/v3/cmd/helm"),
    "pod": ("pod", "."),
    "promcheck": ("promcheck", "."),
    "podmonitors": ("podmonitors", "."),
    "cilium-agent": ("cilium", "github.com/cilium/cilium/daemon"),
    "cilium-cni": ("cilium", "github.com/cilium/cilium/plugins/cilium-cni"),
    "versitygw": ("versitygw", "github.com/versity/versitygw/cmd/versitygw"),
    "syft": ("syft", "github.com/anchore/syft/cmd/syft"),
}
PROGRESS_SECONDS = 15


class UnavailableError(Exception):
    """What the tests need cannot be had on this machine; the message says what is missing."""


class UnsupportedError(UnavailableError):
    """Nor could it be installed: the hardware or the kernel lacks it."""


def cache() -> Path:
    """Where everything expensive is kept between runs."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("FASTCHAT_CACHE") or home / "fastchat").absolute()


def built(name: str) -> Path:
    """Path of a tool in the cache, whether or not it is there; another locked version has another path."""
    module = TOOLS[name][0]
    digest = hashlib.sha256()
    for source in sorted((SOURCES / module).iterdir()):
        digest.update(source.read_bytes())
    return cache() / "bin" / f"{module}-{digest.hexdigest()[:12]}" / name


def tools(*names: str) -> dict[str, Path]:
    """Paths of the named tools, after the missing ones are built.

    Raises:
        UnavailableError: one is missing and there is no Go toolchain to build it with.
        RuntimeError: a build failed.
    """
    found = {name: path for name in names if (path := _present(name))}
    if missing := [name for name in names if name not in found]:
        _require_go(missing)
        with locked(cache() / "bin" / "lock"):
            for position, name in enumerate(missing, 1):
                found[name] = _build(name, f"{position} of {len(missing)}")
    return found


def api_server_tools() -> dict[str, Path]:
    """kube-apiserver, etcd and kubectl: those of KUBEBUILDER_ASSETS where it is set."""
    names = ("kube-apiserver", "etcd", "kubectl")
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        return {name: Path(assets) / name for name in names}
    return tools(*names)


def sources(module: str, dependency: str) -> Path:
    """Folder with the sources of a module that the go.mod in `module` names, which are fetched if they are missing.

    Raises:
        UnavailableError: there is no Go toolchain to fetch them with.
    """
    _require_go([dependency])
    command = ["go", "mod", "download", "-json", dependency]
    done = subprocess.run(command, cwd=SOURCES / module, check=True, capture_output=True, text=True)
    return Path(json.loads(done.stdout)["Dir"])


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, made where it is missing, against every other process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def say(line: str) -> None:
    """Tell whoever waits."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _present(name: str) -> Path | None:
    path = built(name)
    if not path.exists() and name == "kubectl" and (system := shutil.which(name)):
        return Path(system)
    return path if path.exists() else None


def _require_go(missing: Sequence[str]) -> None:
    wanted = f"{', '.join(missing)}: not in {cache() / 'bin'}, and"
    if not shutil.which("go"):
        raise UnavailableError(f"{wanted} no Go toolchain on PATH to build with")
    version = subprocess.run(["go", "env", "GOVERSION"], check=True, capture_output=True, text=True).stdout.strip()
    match = re.match(r"go1\.(\d+)", version)
    if match and int(match[1]) < 21:  # older ones cannot fetch the toolchain that a go.mod asks for
        raise UnavailableError(f"{wanted} {version} is too old to build with: install Go 1.21 or newer")


def _build(name: str, position: str) -> Path:
    path = built(name)
    if path.exists():  # another process built it while this one waited for the lock
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{name}")
    module, package = TOOLS[name]
    flags = ["-trimpath", "-buildvcs=false", "-ldflags", _linker_flags(module)]
    _run_go(["go", "build", *flags, "-o", str(unfinished), package], SOURCES / module, f"building {name} ({position})")
    return unfinished.rename(path)


def _linker_flags(module: str) -> str:
    """A build from the module proxy knows no git tag; Kubernetes asks its own what it can do, syft writes it down."""
    versions = (SOURCES / module / "go.mod").read_text()
    if match := re.search(r"^\s*k8s\.io/kubernetes (v1\.(\d+)\.\S+)", versions, re.M):
        of = "-X k8s.io/component-base/version."
        return f"-s -w {of}gitVersion={match[1]} {of}gitMajor=1 {of}gitMinor={match[2]}"
    if match := re.search(r"^\s*github\.com/anchore/syft v(\S+)", versions, re.M):
        return f"-s -w -X main.version={match[1]}"
    return "-s -w"


def _run_go(command: Sequence[str], folder: Path, what: str) -> None:
    started = time.monotonic()
    say(what)
    with tempfile.TemporaryFile("w+") as output:
        environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        try:
            while not _ended(process):
                say(f"{what}: {time.monotonic() - started:.0f} s")
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            output.seek(0)
            raise RuntimeError(f"{' '.join(command)} failed in {folder}:\n{output.read()[-4000:]}")
    say(f"{what}: done in {time.monotonic() - started:.0f} s")


def _ended(process: "subprocess.Popen[bytes]") -> bool:
    try:
        process.wait(PROGRESS_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True
