"""Environments of their own for programs that cannot live in ours: other versions, or a package of our name.

Each is a folder of the cache for each content of a lock file, made the first time that it is asked for.
"""

import hashlib
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

from cluster.tools.binaries import cache, locked


def python(name: str, lock: Path) -> Path:
    """The interpreter of an environment that has what the lock file names."""

    def install(folder: Path) -> None:
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        install = [uv, "pip", "install", "--quiet", "--no-config", "--no-deps", "--require-hashes"]
        subprocess.run([*install, "--python", str(folder / "bin/python"), "-r", str(lock)], check=True)

    return _made(name, lock, install) / "bin/python"


def source(name: str, lock: Path) -> Path:
    """The folder of a package's source distribution, at the version that the lock file names."""

    def download(folder: Path) -> None:
        named = re.search(rf"^{name}==(?:.*\\\n)*.*", lock.read_text(), re.MULTILINE)
        assert named, f"{lock} has no {name}"
        only = folder / "requirements.txt"
        only.write_text(named[0])
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        source = ["--no-binary=:all:", "--no-build-isolation", "--require-hashes"]
        subprocess.run([*pip, *source, "-r", str(only), "-d", str(folder)], check=True)
        (archive,) = folder.glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")

    made = _made(f"{name}-source", lock, download)
    return next(each for each in made.iterdir() if each.is_dir())


def node_modules(name: str, folder: Path, python: Path) -> Path:
    """`node_modules` of a folder's package-lock.json, installed by the npm of an environment of ours."""

    def install(made: Path) -> None:
        for each in ("package.json", "package-lock.json"):
            (made / each).write_bytes((folder / each).read_bytes())
        env = os.environ | {"PATH": f"{python.parent}:{os.environ['PATH']}"}
        npm = str(python.parent / "npm")
        subprocess.run([npm, "ci", "--no-audit", "--no-fund", "--silent"], cwd=made, env=env, check=True)

    return _made(name, folder / "package-lock.json", install) / "node_modules"


def environ(**variables: str) -> dict[str, str]:
    """What a program of such an environment is run with. What it imports is compiled once, whatever ours is told."""
    return os.environ | {"PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": ""} | variables


def _made(name: str, lock: Path, make: Callable[[Path], None]) -> Path:
    """A folder of the cache for this content of a lock file, made by one process at a time."""
    folder = cache() / f"{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    with locked(cache() / f"{name}.lock"):
        if not (folder / "installed").exists():
            folder.mkdir(parents=True, exist_ok=True)
            make(folder)
            (folder / "installed").touch()
    return folder
