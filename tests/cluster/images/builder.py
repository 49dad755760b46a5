"""The images of the cluster tests: built with buildah from our Dockerfiles, pushed to a registry without TLS.

Buildah's storage lies in the cache too: a second build does what changed, and the images of whoever works on this
machine stay as they are.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
import time
import tomllib
from ast import literal_eval
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from cluster.tools import packages
from cluster.tools.binaries import PROGRESS_SECONDS, UnavailableError, cache, locked, say

ROOT = Path(__file__).parents[3]
DOCKERFILES = {
    "operator": "images/operator/Dockerfile",
    "gateway": "images/gateway/Dockerfile",
    "worker": "images/worker/Dockerfile",
    "tools": "tests/cluster/images/tools/Dockerfile",
}


# What images are built on, by the build argument that names it: Debian's packages for its like where no registry is.
_BASES = {
    "BASE_IMAGE": "ca-certificates,python3,python3-venv",
    "BUILD_IMAGE": "ca-certificates,g++,libc6-dev,python3-dev,python3-venv",
}
_BASE = "localhost/fastchat-base"
_SUITE = "bookworm"
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_BUILD_SECONDS = 1800
# What is started so leaves no mounts and no processes behind, in whatever way it ends.
_ALONE = ("unshare", "--mount", "--mount-proc", "--pid", "--fork", "--kill-child")
_KEPT_SECONDS = 600  # what is built will be pushed, even if another build comes between


def build(names: Sequence[str] = tuple(DOCKERFILES)) -> dict[str, str]:
    """Build the named images from this checkout; the same content has the same reference.

    Returns:
        Name → reference in buildah's storage, such as localhost/fastchat-worker:0123456789ab.

    Raises:
        UnavailableError: this machine cannot build images.
        RuntimeError: a build failed; the message ends with the end of its output.
    """
    _require_builder()
    with locked(_folder() / "lock"):
        _tidy()  # a build that was killed could not
        _scratch().mkdir(mode=0o700)
        try:
            bases = [f"--build-arg={argument}={_base(argument)}" for argument in _BASES]
            options = ["--network=host", *bases, *_host_settings()]
            return {name: _build(name, [*options, *_arguments(name)]) for name in names}
        finally:
            _tidy()


def push(reference: str, registry: str) -> str:
    """Push an image unless the registry ("host:port", plain HTTP) has it; return its reference there."""
    repository, _, tag = reference.removeprefix("localhost/").partition(":")
    pushed = f"{registry}/{repository}:{tag}"
    if not _pushed_id(registry, repository, tag).startswith(tag):
        started = time.monotonic()
        # To push and to pull the worker's 6 GB takes 98 s so, 119 s uncompressed, 137 s with gzip.
        compression = ["--compression-format=zstd", "--compression-level=1"]
        _run("push", "--quiet", "--tls-verify=false", *compression, reference, f"docker://{pushed}")
        say(f"{repository}: pushed in {time.monotonic() - started:.1f} s")
    return pushed


def buildah(*arguments: str) -> list[str]:
    """Command line of buildah on the storage that `build` fills."""
    storage = [f"--root={_folder() / 'storage'}", f"--runroot={_folder() / 'run'}", "--storage-driver=overlay"]
    return ["buildah", *storage, *arguments]


def _folder() -> Path:
    return cache() / "images"


def _scratch() -> Path:
    """What a build needs of files; they may hold the key to a package index."""
    return _folder() / "scratch"


def _require_builder() -> None:
    if os.geteuid() != 0:
        raise UnavailableError("images: only root can build them here, because buildah's overlay storage needs mounts")
    packages.require(packages.IMAGES)


def _run(*arguments: str) -> str:
    ended = subprocess.run([*_ALONE, *buildah(*arguments)], capture_output=True, text=True, timeout=_BUILD_SECONDS)
    if ended.returncode:
        raise RuntimeError(f"{shlex.join(ended.args)} failed:\n{ended.stderr[-4000:]}")
    return ended.stdout.strip()


# The base image.


def official(argument: str) -> str:
    """What the gateway's Dockerfile, like all others, takes for a build argument: a Python image with its digest."""
    text = (ROOT / DOCKERFILES["gateway"]).read_text()
    found: list[str] = re.findall(rf"^ARG {argument}=(\S+)$", text, re.M)
    return found[0]


def _base(argument: str) -> str:
    """Reference of an image with Python: the official one, or Debian's where no registry is to be had."""
    image, packages = official(argument), _BASES[argument]
    key = hashlib.sha256(f"{image} {_SUITE} {packages}".encode()).hexdigest()[:12]
    reference = f"{_BASE}:{key}"
    if not any(reference in image["names"] for image in _images()):
        pull = subprocess.run([*_ALONE, "timeout", "300", *buildah("pull", "--quiet", image)], capture_output=True)
        _run("tag", _debian(packages) if pull.returncode else image, reference)
    return reference


def _debian(packages: str) -> str:
    """Id of an image that debootstrap makes from the mirror of this machine's apt."""
    root = _scratch() / "root"
    options = ["--variant=minbase", f"--include={packages}"]
    _follow("base", ["debootstrap", *options, _SUITE, str(root), _mirror()])
    of_this_machine = ["--exclude=./etc/resolv.conf", "--exclude=./etc/hostname"]
    left_out = [*of_this_machine, "--exclude=./var/cache/*", "--exclude=./var/lib/apt/lists/*"]
    subprocess.run(["tar", "-C", str(root), *left_out, "-cf", str(_scratch() / "rootfs.tar"), "."], check=True)
    shutil.rmtree(root)
    return _bud("base", Path(__file__).parent / "base/Dockerfile", _scratch(), [])[-1]


def _mirror() -> str:
    policy = subprocess.run(["apt-cache", "policy", "base-files"], capture_output=True, text=True, check=True).stdout
    if not (match := re.search(r"^\s*\d+ (https?://\S+) \S+/main ", policy, re.M)):
        raise UnavailableError("images: apt knows no mirror to make a base image from: apt-get update")
    return match[1]


# Builds.


def _build(name: str, options: Sequence[str]) -> str:
    started = time.monotonic()
    steps = _bud(name, ROOT / DOCKERFILES[name], ROOT, options)
    tag = steps[-1][:12]
    reference = f"localhost/fastchat-{name}:{tag}"
    _run("tag", steps[-1], reference)
    _record(name, tag, steps)
    say(f"{name}: built in {time.monotonic() - started:.1f} s")
    return reference


def _bud(name: str, dockerfile: Path, context: Path, options: Sequence[str]) -> list[str]:
    """Ids of the images of all steps, some of them only their first 11 digits; the last one is the result, in full."""
    command = buildah(
        "bud", "--layers", "--isolation=chroot", "--pull=never", *options, f"--file={dockerfile}", str(context)
    )
    return re.findall(r"^(?:--> (?:Using cache )?)?([0-9a-f]{11,64})$", _follow(name, command), re.M)


def _follow(name: str, command: Sequence[str]) -> str:
    """Output of a command that may take minutes; what it is at is said now and then."""
    started = time.monotonic()
    output = _scratch() / "output"
    ends_with_us = ["setpriv", "--pdeathsig", "KILL"]
    with output.open("wb") as log:
        environment = {**os.environ, "TMPDIR": str(_scratch())}
        process = subprocess.Popen([*ends_with_us, *_ALONE, *command], env=environment, stdout=log, stderr=log)
    try:
        while process.poll() is None and (seconds := time.monotonic() - started) < _BUILD_SECONDS:
            if seconds >= PROGRESS_SECONDS:
                say(f"{name}: {_step(output.read_text())}, {seconds:.0f} s")
            with suppress(subprocess.TimeoutExpired):
                process.wait(PROGRESS_SECONDS)
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        raise RuntimeError(f"{shlex.join(command)} failed:\n{output.read_text()[-4000:]}")
    return output.read_text()


def _step(output: str) -> str:
    steps = re.findall(r"^(?:I: |(?:\[\d/\d\] )?STEP )(.*)", output, re.M)
    return " ".join(steps[-1].split())[:80] if steps else "begins"


def _arguments(name: str) -> list[str]:
    """The worker of the tests brings the two small models that come as packages."""
    if name != "worker":
        return []
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return [f"--build-arg=MODELS={' '.join(extras['demo'])}"]


def _host_settings() -> list[str]:
    """Options that show a build where this machine gets packages from and whom it trusts; no image keeps it."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^\S+\.(index-url|trusted-host)=(.*)$", listed, re.M)
    pip = {"cert": _BUNDLE} | {key: literal_eval(value) for key, value in reversed(found)}  # the environment's first
    index = f"index-url = {json.dumps(pip['index-url'])}\n" if "index-url" in pip else ""
    (_scratch() / "pip.conf").write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in pip.items()))
    (_scratch() / "uv.toml").write_text(f"system-certs = true\n{index}")
    mounts = {"/etc/pip.conf": _scratch() / "pip.conf", "/etc/uv/uv.toml": _scratch() / "uv.toml"}
    if bundle := ssl.get_default_verify_paths().cafile:
        mounts[_BUNDLE] = Path(bundle)
    return [f"--volume={source}:{target}:ro" for target, source in mounts.items()]


# What is in the storage and in the registry.


def _images() -> list[dict[str, Any]]:
    """Id and names of the images that have a name or that no other one is built on."""
    listed = json.loads(_run("images", "--json", "--no-trunc")) or []
    return [{"id": image["id"].removeprefix("sha256:"), "names": image["names"] or []} for image in listed]


def _pushed_id(registry: str, repository: str, tag: str) -> str:
    """Id of an image in a registry, empty where it is not there."""
    url = f"http://{registry}/v2/{repository}/manifests/{tag}"
    manifest = httpx.get(url, headers={"accept": "application/vnd.oci.image.manifest.v1+json"}, trust_env=False)
    if manifest.status_code == 404:
        return ""
    return str(manifest.raise_for_status().json()["config"]["digest"]).removeprefix("sha256:")


def _records() -> Path:
    """A file for each image that a checkout has built: the checkout's path and the ids of the steps."""
    return _folder() / "builds"


def _record(name: str, tag: str, steps: Sequence[str]) -> Path:
    checkout = hashlib.sha256(bytes(ROOT)).hexdigest()[:12]
    _records().mkdir(exist_ok=True)
    record = _records() / f"{name}-{checkout}-{tag}"
    record.write_text("\n".join([str(ROOT), *steps]))
    return record


def _used() -> set[str]:
    """The first 11 digits of the ids of all steps that are wanted; records that are not wanted any more are removed.

    Wanted are the last build of each checkout that still exists, and whatever was built just now.
    """
    records = sorted(_records().glob("*"), key=lambda record: record.stat().st_mtime)
    lines = {record: record.read_text().splitlines() for record in records}
    last = {record.name.rpartition("-")[0]: record for record in records if Path(lines[record][0]).exists()}
    kept: set[str] = set()
    for record in records:
        if record in last.values() or time.time() - record.stat().st_mtime < _KEPT_SECONDS:
            kept |= {step[:11] for step in lines[record][1:]}
        else:
            record.unlink()
    return kept


def _tidy() -> None:
    """Remove what a killed build left, and images that nobody wants any more; those of their steps are the cache."""
    shutil.rmtree(_scratch(), ignore_errors=True)
    for container in json.loads(_run("containers", "--json")) or []:
        if re.search(r"-working-container(-\d+)?$", container["containername"]):
            _run("rm", container["id"])
    kept = _used()
    for image in _images():
        if image["id"][:11] not in kept and not any(name.startswith(_BASE) for name in image["names"]):
            _run("rmi", "--force", image["id"])
