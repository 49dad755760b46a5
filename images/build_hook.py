"""Compiles what is compiled of a wheel: FASTCHAT_COMPILE names the part, `gateway` (or 1) or `worker`.

The gateway's part is Python by mypyc (gateway/build_hook.py), the worker's the C++ of its native executor.
"""

import os
import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_LIBRARY = "fastchat_worker/native/libfastchat_cpu.so"


class PartsHook(BuildHookInterface[Any]):
    """Adds what is compiled to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        part = os.environ.get("FASTCHAT_COMPILE")
        if part in ("1", "gateway"):
            self._of_gateway().initialize(version, build_data)
        elif part == "worker":
            self._work = tempfile.TemporaryDirectory()
            _add_library(Path(self.root), Path(self._work.name) / "library.so", build_data)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_gateway"):
            self._gateway.finalize(version, build_data, artifact_path)
        if hasattr(self, "_work"):
            self._work.cleanup()

    def _of_gateway(self) -> Any:
        hook = runpy.run_path(str(Path(self.root) / "images/gateway/build_hook.py"))["CompileHook"]
        self._gateway = hook(
            self.root, self.config, self.build_config, self.metadata, self.directory, self.target_name, self.app
        )
        return self._gateway


def _add_library(root: Path, library: Path, build_data: dict[str, Any]) -> None:
    build = runpy.run_path(str(root / "images/worker/native/build.py"))["main"]
    if build(library):
        raise RuntimeError("the worker's native executor cannot be compiled: a C++ compiler with C++20 is needed")
    library.chmod(0o755)  # a wheel keeps it, whatever the umask here
    build_data.update(pure_python=False, infer_tag=True)
    build_data["force_include"][str(library)] = _LIBRARY
