"""What the schema of a function's arguments says of each of them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

_SHARED = ("$defs", "definitions")
_DEEPEST = 20  # branches in one another
_PYTHON = {"True": "true", "False": "false", "None": "null"}


@dataclass(frozen=True)
class Property:
    """One argument: its name, its schema with what that refers to, and whether it has to be there."""

    name: str
    schema: Mapping[str, Any]
    required: bool


def properties(schema: Mapping[str, Any]) -> Iterator[Property]:
    """The arguments: those that have to be there first."""
    shared = {key: schema[key] for key in _SHARED if key in schema}
    named = schema.get("properties")
    named = named if isinstance(named, Mapping) else {}
    required = [name for name in listed(schema, "required") if isinstance(name, str)]
    for name in sorted(named, key=lambda name: name not in required):
        each = named[name] if isinstance(named[name], Mapping) else {}
        yield Property(name, {**shared, **each}, name in required)


def types(schema: Mapping[str, Any], depth: int = 0) -> set[str]:
    """The types that a schema names, by itself or in its branches; none where it takes everything."""
    own = schema.get("type")
    found = {each for each in (own if isinstance(own, list) else [own]) if isinstance(each, str)}
    branches = [*listed(schema, "anyOf"), *listed(schema, "oneOf")] if depth < _DEEPEST else []
    for branch in branches:
        found |= types(branch, depth + 1) if isinstance(branch, Mapping) else set()
    return found or {"string" if isinstance(each, str) else "other" for each in constants(schema)}


def constants(schema: Mapping[str, Any]) -> list[Any]:
    """The values that a schema lists; none where it does not list them."""
    return [schema["const"]] if "const" in schema else listed(schema, "enum")


def listed(schema: Mapping[str, Any], keyword: str) -> list[Any]:
    """The list under a keyword; empty where there is none: what callers send is not known to be a schema."""
    found = schema.get(keyword)
    return found if isinstance(found, list) else []


def from_text(text: str, schema: Mapping[str, Any]) -> str:
    """An argument that a model wrote as plain text, as JSON of the type that its schema names."""
    wanted = types(schema)
    written = _PYTHON.get(text.strip(), text.strip())
    if wanted != {"string"} and is_json(written):
        kind = _type(json.loads(written))
        if not wanted or kind in wanted or "other" in wanted or (kind == "integer" and "number" in wanted):
            return written
    return json.dumps(text, ensure_ascii=False)


def is_json(text: str) -> bool:
    """The text is a JSON document. Numbers without bounds and NaN, which Python reads, are none."""
    try:
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _type(parsed: Any) -> str:
    kinds = {str: "string", bool: "boolean", int: "integer", float: "number", dict: "object", list: "array"}
    return kinds.get(type(parsed), "null")
