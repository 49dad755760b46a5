"""Environments of their own for programs that cannot live in ours: other versions, or a package of our name."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from cluster.tools.binaries import cache, locked


def python(name: str, lock: Path) -> Path:
    """The interpreter of an environment that has what the lock file names, installed the first time."""
    folder = cache() / f"{name}-{_digest(lock)}"
    interpreter = folder / "bin/python"
    with locked(cache() / f"{name}.lock"):
        if not (folder / "installed").exists():
            uv = str(Path(sys.executable).with_name("uv"))
            subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
            install = [uv, "pip", "install", "--quiet", "--no-config", "--no-deps", "--require-hashes"]
            subprocess.run([*install, "--python", str(interpreter), "-r", str(lock)], check=True)
            (folder / "installed").touch()
    return interpreter


def node_modules(name: str, folder: Path, python: Path) -> Path:
    """`node_modules` of a folder's package-lock.json, installed the first time by the npm of an environment of ours."""
    lock = folder / "package-lock.json"
    made = cache() / f"{name}-{_digest(lock)}"
    with locked(cache() / f"{name}.lock"):
        if not (made / "installed").exists():
            made.mkdir(parents=True, exist_ok=True)
            for each in ("package.json", "package-lock.json"):
                (made / each).write_bytes((folder / each).read_bytes())
            env = os.environ | {"PATH": f"{python.parent}:{os.environ['PATH']}"}
            npm = str(python.parent / "npm")
            subprocess.run([npm, "ci", "--no-audit", "--no-fund", "--silent"], cwd=made, env=env, check=True)
            (made / "installed").touch()
    return made / "node_modules"


def environ(**variables: str) -> dict[str, str]:
    """What a program of such an environment is run with. What it imports is compiled once, whatever ours is told."""
    return os.environ | {"PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": ""} | variables


def _digest(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
