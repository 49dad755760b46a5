"""ModelDeployments from YAML files. All problems are reported at once, each with file, line and field."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from fastchat.v1alpha1.crd import schema
from fastchat.v1alpha1.deployment import GROUP, ModelDeployment

Loc = tuple[int | str, ...]
"""Where in a document: ("spec", "model", "aliases", 0)."""


class ManifestError(Exception):
    """Manifests that cannot be served; `problems` holds one line each, `file:line: field: what`."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Manifest:
    """One ModelDeployment and where it was read."""

    deployment: ModelDeployment
    file: str
    node: yaml.Node

    def at(self, field: Loc) -> str:
        """`file:line` of a field; of the nearest one above it where the field was left out."""
        return f"{self.file}:{_line(self.node, field)}"

    def problem(self, field: Loc, what: str) -> str:
        return f"{self.at(field)}: {path(field)}: {what}"


def read(files: Iterable[Path], note: Callable[[str], None]) -> list[Manifest]:
    """Every ModelDeployment in the files. `note` is called for each resource of another kind, which is skipped.

    Raises:
        ManifestError: with every problem in any of the files.
    """
    manifests: list[Manifest] = []
    problems: list[str] = []
    for file in files:
        found = list(_read_file(file, note))
        manifests += [each for each in found if isinstance(each, Manifest)]
        problems += [each for each in found if isinstance(each, str)]
    problems += _claimed_twice(manifests)
    if problems:
        raise ManifestError(problems)
    return manifests


def path(field: Loc) -> str:
    """The field as the API server writes it: `spec.model.aliases[0]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in field).removeprefix(".")


# --------------------------------------------------------------------------------------------------------------------
# Files and documents
# --------------------------------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """Reads scalars as kubectl does: a date stays text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _read_file(file: Path, note: Callable[[str], None]) -> Iterator[Manifest | str]:
    """Each deployment of one file, or its problem as a line of text."""
    try:
        text = file.read_text("utf-8")
    except IsADirectoryError:
        yield f"{file}: is a directory; name the files in it, such as {file}/*.yaml"
        return
    except UnicodeDecodeError:
        yield f"{file}: is not UTF-8 text"
        return
    except OSError as error:
        yield f"{file}: {(error.strerror or str(error)).lower()}"
        return
    found = 0
    try:
        for node in yaml.compose_all(text, _Loader):
            for each in _read_document(node, str(file), note):
                found += 1
                yield each
    except yaml.MarkedYAMLError as error:
        yield f"{file}:{_broken_line(error)}: {_broken_yaml(error)}"
    except yaml.reader.ReaderError as error:
        yield f"{file}: is not YAML: {error.reason} at position {error.position}"
    else:
        if not found:
            yield f"{file}: holds no ModelDeployment"


def _broken_line(error: yaml.MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    return mark.line + 1 if mark else 1


def _broken_yaml(error: yaml.MarkedYAMLError) -> str:
    return "is not YAML: " + " ".join(part for part in (error.context, error.problem) if part)


def _read_document(node: yaml.Node, file: str, note: Callable[[str], None]) -> Iterator[Manifest | str]:
    line = node.start_mark.line + 1
    if node.tag == "tag:yaml.org,2002:null":
        return
    if not isinstance(node, yaml.MappingNode):
        yield f"{file}:{line}: is not a mapping of apiVersion, kind, metadata and spec"
        return
    repeated = [f"{file}:{line}: {path(field)}: is given twice" for line, field in _repeated(node)]
    if repeated:
        yield from repeated
        return
    resource = _Loader("").construct_document(node)
    if _is_of_another_kind(resource):
        note(f"{file}:{line}: passed over: {resource['kind']} is for kubectl")
        return
    try:
        yield Manifest(ModelDeployment.parse(resource), file, node)
    except ValidationError as invalid:
        for field, what in complaints(invalid):
            yield f"{file}:{_line(node, field)}: {path(field)}: {what}"


def _is_of_another_kind(resource: dict[str, Any]) -> bool:
    version, kind = resource.get("apiVersion"), resource.get("kind")
    if not (isinstance(version, str) and isinstance(kind, str)):
        return False
    return kind != "ModelDeployment" and version.partition("/")[0] != GROUP


# --------------------------------------------------------------------------------------------------------------------
# Lines
# --------------------------------------------------------------------------------------------------------------------


def _line(node: yaml.Node, field: Loc) -> int:
    """The line of a field, or of the nearest one above it that is there."""
    line = node.start_mark.line
    for part in field:
        if isinstance(node, yaml.MappingNode):
            entry = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if entry is None:
                break
            line, node = entry[0].start_mark.line, entry[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line
        else:
            break
    return line + 1


def _repeated(node: yaml.Node, above: Loc = (), seen: frozenset[int] = frozenset()) -> Iterator[tuple[int, Loc]]:
    """Line and field of every key that a mapping holds twice, where YAML would silently take the second."""
    if id(node) in seen:  # an anchor that holds itself
        return
    seen |= {id(node)}
    if isinstance(node, yaml.MappingNode):
        names = [key.value for key, _ in node.value]
        for index, (key, value) in enumerate(node.value):
            if isinstance(key, yaml.ScalarNode) and key.value in names[:index]:
                yield key.start_mark.line + 1, (*above, key.value)
            yield from _repeated(value, (*above, key.value if isinstance(key, yaml.ScalarNode) else "?"), seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _repeated(item, (*above, index), seen)


# --------------------------------------------------------------------------------------------------------------------
# Words
# --------------------------------------------------------------------------------------------------------------------


def complaints(invalid: ValidationError) -> Iterator[tuple[Loc, str]]:
    """Each field that is at fault and why, in words for the author of a manifest."""
    for error in invalid.errors(include_url=False):
        loc = error["loc"]
        if error["type"] == "rules":
            for below, message in error["ctx"]["broken"]:
                yield (*loc, *below.split(".")[1:]), message
        elif error["type"] == "missing":
            yield loc, "is missing"
        elif error["type"] == "extra_forbidden":
            yield loc, "is not a field" + _did_you_mean(loc)
        else:
            yield loc, _of_the_field(error["msg"]) + _instead_of(error["input"])


def _of_the_field(message: str) -> str:
    return message.replace("Input should", "should").replace("String should", "should").replace("List should", "should")


def _instead_of(value: object) -> str:
    return f", not {value!r}" if isinstance(value, str | int | float) and len(repr(value)) < 80 else ""


def _did_you_mean(loc: Loc) -> str:
    """A suggestion: the field of the same object with the closest name, or an empty text."""
    node: dict[str, Any] = schema()
    for part in loc[:-1]:
        node = node["items"] if isinstance(part, int) else node["properties"][part]
    close = difflib.get_close_matches(str(loc[-1]), node.get("properties", {}), n=1)
    return f"; did you mean {close[0]}?" if close else ""


# --------------------------------------------------------------------------------------------------------------------
# Between deployments
# --------------------------------------------------------------------------------------------------------------------


def _claimed_twice(manifests: Sequence[Manifest]) -> Iterator[str]:
    """A problem for each resource name, served name or alias that an earlier deployment has already."""
    resources: dict[tuple[str | None, str], str] = {}
    served: dict[str, str] = {}
    for manifest in manifests:
        metadata = manifest.deployment.metadata
        name_field = ("metadata", "name")
        first = resources.setdefault((metadata.namespace, metadata.name), manifest.at(name_field))
        if first != manifest.at(name_field):
            yield manifest.problem(name_field, f"{metadata.name!r} is already deployed in {first}")
            continue
        for field, name in _served_names(manifest.deployment):
            first = served.setdefault(name, manifest.at(field))
            if first != manifest.at(field):
                yield manifest.problem(field, f"{name!r} is already served by the deployment in {first}")


def _served_names(deployment: ModelDeployment) -> Iterator[tuple[Loc, str]]:
    own: Loc = ("spec", "model", "name") if deployment.spec.model.name else ("metadata", "name")
    yield own, deployment.name
    for index, alias in enumerate(deployment.spec.model.aliases):
        yield ("spec", "model", "aliases", index), alias
    for index, adapter in enumerate(deployment.spec.model.adapters):
        yield ("spec", "model", "adapters", index, "name"), adapter.name
