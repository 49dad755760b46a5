"""Environments of their own for other people's programs: made the first time, kept in FastChat's cache."""

import fcntl
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path


def cache() -> Path:
    """The folder of what is made once."""
    return Path(os.environ.get("FASTCHAT_CACHE") or Path.home() / ".cache/fastchat")


@dataclass(frozen=True)
class Environment:
    """A virtual environment. requirements: with their versions. variables: for what is compiled.

    overrides: requirements that stand for what the packages say of the same names.
    """

    name: str
    requirements: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()

    def installed(self) -> Path:
        """Its folder. Raises: CalledProcessError where something does not install; uv has said why."""
        folder = cache() / self.name
        folder.mkdir(parents=True, exist_ok=True)
        with (cache() / f"{self.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "complete").exists():
                self._install(folder)
                (folder / "complete").touch()
        return folder

    def _install(self, folder: Path) -> None:
        uv, python = str(Path(sys.executable).with_name("uv")), str(folder / "bin/python")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        # The project's own settings replace a requirement (pyproject.toml), which is wanted here.
        options = ["--quiet", "--no-config", "--python", python]
        environ = {**os.environ, **self.variables}
        if self.overrides:
            (folder / "overrides.txt").write_text("\n".join(self.overrides))
            options += ["--override", str(folder / "overrides.txt")]
        subprocess.run([uv, "pip", "install", *options, *self.requirements], check=True, env=environ)
