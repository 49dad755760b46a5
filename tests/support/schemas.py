"""JSON schemas of the kinds that JSONSchemaBench collects: configurations, events, functions' parameters, resources."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]

_NAMES = ("id", "name", "kind", "status", "owner", "size", "price", "tags", "createdAt", "enabled", "région", 'a "b"')
_WORDS = ("active", "pending", "No", "grün", "x y", "", "a/b", 'say "hi"', "tab\there", "日本", "0")
_PATTERNS = ("^[a-z]{2,8}$", "^[A-Z]{3}-[0-9]{1,4}$", "^(v|V)?[0-9]+\\.[0-9]$", "^#[0-9a-fA-F]{6}$", "^\\d{3}$", "^$")
_FORMATS = ("date", "time", "date-time", "uuid", "ipv4", "ipv6")


@dataclass(frozen=True)
class Sample:
    """A schema. bounded: every document that it takes is short, so that any model comes to its end."""

    schema: Schema
    bounded: bool


def samples(number: int, seed: int) -> list[Sample]:
    """So many schemas, the same for the same seed."""
    return [_Writer(random.Random(f"{seed} {index}")).sample() for index in range(number)]


class _Writer:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._bounded = True
        self._definitions: dict[str, Schema] = {}

    def sample(self) -> Sample:
        schema = self._object(3)
        if self._definitions:
            schema["$defs"] = self._definitions
        return Sample(schema, self._bounded)

    def _any(self, depth: int) -> Schema:
        scalars: list[Callable[[], Schema]] = [
            self._text, self._pattern, self._format, self._integer, self._number, self._enum, self._const,
            self._multiple, self._nullable, self._all_of,
        ]  # fmt: skip
        nested: list[Callable[[int], Schema]] = [
            self._object, self._object, self._array, self._tuple, self._any_of, self._one_of, self._map,
            self._reference,
        ]  # fmt: skip
        if depth and self._chance.random() < 0.4:
            return self._chance.choice(nested)(depth - 1)
        return self._chance.choice(scalars)()

    def _object(self, depth: int) -> Schema:
        names = self._chance.sample(_NAMES, self._chance.randint(1, 5))
        schema: Schema = {"type": "object", "properties": {name: self._any(depth) for name in names}}
        schema["required"] = [name for name in names if self._chance.random() < 0.6]
        if self._chance.random() < 0.9:
            schema["additionalProperties"] = False
        else:
            self._bounded = False
        return schema

    def _map(self, depth: int) -> Schema:
        self._bounded = False
        return {"type": "object", "additionalProperties": self._any(depth)}

    def _array(self, depth: int) -> Schema:
        least = self._chance.randint(0, 2)
        return {
            "type": "array",
            "items": self._any(depth),
            "minItems": least,
            "maxItems": least + self._chance.randint(0, 2),
        }

    def _tuple(self, depth: int) -> Schema:
        first = [self._any(depth) for _ in range(self._chance.randint(1, 2))]
        return {"type": "array", "prefixItems": first, "items": False, "minItems": len(first)}

    def _any_of(self, depth: int) -> Schema:
        return {"anyOf": [self._any(depth) for _ in range(self._chance.randint(2, 3))]}

    def _one_of(self, depth: int) -> Schema:
        """Told apart by a constant, as discriminated unions are."""
        return {"oneOf": [self._variant(kind, depth) for kind in ("cat", "dog")]}

    def _variant(self, kind: str, depth: int) -> Schema:
        properties = {"kind": {"const": kind}, "value": self._any(depth)}
        return {
            "type": "object",
            "properties": properties,
            "required": ["kind", "value"],
            "additionalProperties": False,
        }

    def _reference(self, depth: int) -> Schema:
        name = f"node{len(self._definitions)}"
        self._definitions[name] = {}
        node = self._object(depth)
        if self._chance.random() < 0.4:
            self._bounded = False
            node["properties"]["children"] = {"type": "array", "items": {"$ref": f"#/$defs/{name}"}, "maxItems": 2}
        self._definitions[name] = node
        return {"$ref": f"#/$defs/{name}"}

    def _text(self) -> Schema:
        least = self._chance.randint(0, 3)
        return {
            "type": "string",
            "minLength": least,
            "maxLength": least + self._chance.randint(0, 12),
            "description": "a text",
        }

    def _pattern(self) -> Schema:
        return {"type": "string", "pattern": self._chance.choice(_PATTERNS)}

    def _format(self) -> Schema:
        return {"type": "string", "format": self._chance.choice(_FORMATS)}

    def _integer(self) -> Schema:
        least = self._chance.randint(-1000, 1000)
        if self._chance.random() < 0.5:
            return {"type": "integer", "minimum": least, "maximum": least + self._chance.randint(0, 5000)}
        return {
            "type": "integer",
            "exclusiveMinimum": least,
            "exclusiveMaximum": least + self._chance.randint(2, 5000),
        }

    def _number(self) -> Schema:
        self._bounded = False  # digits after the point have no end
        least = round(self._chance.uniform(-50, 50), 2)
        return {"type": "number", "minimum": least, "maximum": least + self._chance.randint(1, 99)}

    def _multiple(self) -> Schema:
        return {"type": "integer", "minimum": 0, "maximum": 10_000, "multipleOf": self._chance.choice((2, 5, 7, 60))}

    def _enum(self) -> Schema:
        values: list[Any] = [*self._chance.sample(_WORDS, 3), self._chance.randint(0, 9), None, True, 1.5]
        return {"enum": self._chance.sample(values, self._chance.randint(1, 5))}

    def _const(self) -> Schema:
        return {"const": self._chance.choice([*_WORDS, 0, -7, None, False, ["a", 1], {"a": {"b": []}}])}

    def _nullable(self) -> Schema:
        return {"type": ["string", "null"], "maxLength": self._chance.randint(1, 9)}

    def _all_of(self) -> Schema:
        low = self._chance.randint(-9, 9)
        return {"type": "integer", "allOf": [{"minimum": low}, {"maximum": low + self._chance.randint(0, 99)}]}
