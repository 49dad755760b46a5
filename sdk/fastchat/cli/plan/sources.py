"""Finds what describes a model: config.json, or a GGUF file's head, of a folder, a package or the hub."""

import json
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx

from fastchat.cli.errors import CommandError
from fastchat.cli.plan import architectures, gguf
from fastchat.cli.plan.model import Model
from fastchat.v1alpha1.source import ModelSource

_LONGEST = 2**20
"""Bytes of a config.json."""


def describe(text: str) -> Model:
    """The model of a source, `hf://…`, `package://…`, `file:///…`, or of a path on this machine.

    Raises:
        CommandError: there is none, or it does not describe itself.
    """
    if "://" not in text:
        return _at(Path(text).expanduser(), text)
    try:
        source = ModelSource.parse(text)
    except ValueError as error:
        raise CommandError(f"{text}: {error}") from None
    if source.scheme == "hf":
        return _on_hub(source)
    if source.scheme == "file":
        return _at(Path(source.path), text)
    if source.scheme == "package":
        return _at(_in_package(source), text)
    raise CommandError(f"{text} cannot be read from here: give a folder, or hf://org/name")


def _in_package(source: ModelSource) -> Path:
    try:
        spec = find_spec(source.root)
    except ModuleNotFoundError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise CommandError(f"there is no Python package {source.root} here: install it, or give another source")
    return Path(spec.submodule_search_locations[0]) / source.path


def _at(path: Path, name: str) -> Model:
    """The model of a file, or of a folder with one."""
    if path.is_dir():
        config, files = path / "config.json", sorted(path.glob("*.gguf"))
        if not config.exists() and len(files) == 1:
            return _at(files[0], name)
        path = config
    try:
        if path.suffix == ".gguf":
            with path.open("rb") as file:
                return gguf.read(lambda size: (file.seek(0), file.read(size))[1], name)
        return architectures.read(_config(path.read_bytes(), name))
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from None


def _config(data: bytes, name: str) -> dict[str, Any]:
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        raise CommandError(f"the config.json of {name} is no JSON") from None
    if not isinstance(said, dict):
        raise CommandError(f"the config.json of {name} is no JSON object")
    return said


def _on_hub(source: ModelSource) -> Model:
    """Asks the hub, as HF_ENDPOINT and HF_TOKEN say, for no more than describes the model."""
    token = os.environ.get("HF_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    base = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    revision = source.revision or "main"
    with httpx.Client(base_url=base, headers=headers, follow_redirects=True, timeout=30) as http:
        try:
            if source.file is None:
                config = _fetch(http, f"/{source.root}/resolve/{revision}/config.json", source, _LONGEST)
                return architectures.read(_config(config, source.text))
            path = f"/{source.root}/resolve/{revision}/{_file(http, source, revision)}"
            return gguf.read(lambda size: _fetch(http, path, source, size), source.text)
        except httpx.HTTPError as error:
            message = f"cannot reach {base}: {error}; check the network and HF_ENDPOINT, or give a folder"
            raise CommandError(message) from None


def _file(http: httpx.Client, source: ModelSource, revision: str) -> str:
    """Path of the GGUF file that is meant: named, or by a part of its name."""
    wanted = str(source.file)
    if wanted.endswith(".gguf"):
        return wanted
    said = json.loads(_fetch(http, f"/api/models/{source.root}/revision/{revision}", source, 2**24))
    names = [str(each.get("rfilename", "")) for each in said.get("siblings", ())]
    found = [name for name in names if name.endswith(".gguf") and wanted.lower() in name.lower()]
    return _only(found, source)


def _only(found: Sequence[str], source: ModelSource) -> str:
    if len(found) == 1:
        return found[0]
    several = f"several: {', '.join(found[:3])}" if found else "none"
    raise CommandError(f"{source.root} should have one GGUF file of {source.file!r}, and has {several}")


def _fetch(http: httpx.Client, path: str, source: ModelSource, size: int) -> bytes:
    """At most so many bytes of a file's beginning."""
    with http.stream("GET", path, headers={"Range": f"bytes=0-{size - 1}"}) as response:
        if response.status_code in (401, 403, 404):
            raise CommandError(
                f"the hub gives no {path.rpartition('/')[2]} of {source.root} ({response.status_code}): check the name "
                "and the revision, or set HF_TOKEN for a model that is private or has a licence to be accepted"
            )
        response.raise_for_status()
        data = b""
        for part in response.iter_bytes():
            data += part
            if len(data) >= size:
                break
    return data[:size]
