"""Grammar texts of calls, in llguidance's variant of Lark's notation.

Source: https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastchat.api.tools import Function

_SLASH = r"\/"
_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class Writing:
    """Writes the parts of a grammar for one model. control: its control tokens, which texts cannot contain, by text.

    schemas: the functions whose arguments have to keep to their schema; those of others are any object.
    """

    def __init__(self, control: Mapping[str, int], schemas: Iterable[str]) -> None:
        self._control = control
        self._schemas = frozenset(schemas)
        self._rules: list[str] = []
        self._parts = re.compile("|".join(re.escape(text) for text in sorted(control, key=len, reverse=True)) or "(?!)")

    def text(self, text: str) -> str:
        """Exactly this text."""
        pieces, at = [], 0
        for found in self._parts.finditer(text):
            pieces += [_quoted(text[at : found.start()]), f"<[{self._control[found[0]]}]>"]
            at = found.end()
        return " ".join(filter(None, [*pieces, _quoted(text[at:])]))

    def arguments(self, function: Function) -> str:
        """A JSON object with the arguments of this function."""
        return self.json(self.schema(function))

    def schema(self, function: Function) -> dict[str, Any]:
        """What its arguments have to keep to."""
        if function.name not in self._schemas:
            return {"type": "object"}
        schema = function.parameters or {"type": "object", "properties": {}, "additionalProperties": False}
        if "type" not in schema and "properties" in schema:
            schema = {"type": "object", **schema}
        if function.strict and schema.get("type") == "object":
            schema = {"additionalProperties": False, **schema}
        return schema or {"type": "object"}

    def named(self, name: str, rule: str) -> str:
        """The rule under a name; returns the name."""
        self._rules.append(f"{name}: {rule}")
        return name

    def up_to(self, end: str) -> str:
        """Any text that does not contain its end, and the end."""
        if self._parts.match(end):
            return f"TEXT {self.text(end)}"
        name = f"text_{len(self._rules)}"
        self._rules.append(f"{name}[suffix={_quoted(end)}]: TEXT")
        return name

    def string(self, schema: Mapping[str, Any], end: str) -> str:
        """A text that the schema of a string takes, without quotes, and its end.

        Where the schema bounds it, the text does not contain the first character of its end. `format` is not looked at.
        """
        parts = [f"/{_pattern(schema['pattern'])}/"] if isinstance(schema.get("pattern"), str) else []
        if "minLength" in schema or "maxLength" in schema:
            parts.append(f"/(?s:.){{{schema.get('minLength', 0)},{schema.get('maxLength', '')}}}/")
        if not parts:
            return self.up_to(end)
        name = f"STRING_{len(self._rules)}"
        self._rules.append(f"{name}: {' & '.join((*parts, f'/[^{re.escape(end[0])}]*/'))}")
        return f"{name} {self.text(end)}"

    def up_to_call(self, mark: str, text: str) -> str:
        """A text up to the mark that begins a call, and the mark."""
        if self._parts.match(mark):
            return f"{text} {self.text(mark)}"
        name = f"text_{len(self._rules)}"
        self._rules.append(f"{name}[lazy]: {text} {self.text(mark)}")
        return name

    def without(self, marks: Sequence[str], *, bare: bool) -> str:
        """Any text without these marks; bare: that does not begin as an object or a list does."""
        plain = [re.escape(mark) for mark in marks if not self._parts.search(mark)]
        parts = [f"~/(?s:.*)({'|'.join(plain).replace('/', _SLASH)})(?s:.*)/"] if plain else []
        parts += [r"/\s*([^\s{\[](?s:.*))?/"] if bare else []
        if not parts:
            return "TEXT"
        name = f"FREE_{len(self._rules)}"
        self._rules.append(f"{name}: {' & '.join(('/(?s:.*)/', *parts))}")
        return name

    def grammar(self, start: str) -> str:
        """The whole grammar text, of which this is where it begins."""
        return "\n".join((f"start: {start}", *self._rules, "TEXT: /(?s:.*)/", ""))

    @staticmethod
    def json(schema: Mapping[str, Any]) -> str:
        """A JSON value that keeps to a schema, with one blank after commas and colons."""
        return "%json " + json.dumps({**schema, "x-guidance": _STYLE})


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if text else ""


def _pattern(pattern: str) -> str:
    """The regular expression of a schema, which finds its match anywhere, as one for a whole text."""
    before = "" if pattern.startswith("^") else "(?s:.*)"
    after = "" if pattern.endswith("$") else "(?s:.*)"
    return before + pattern.removeprefix("^").removesuffix("$").replace("/", "\\/") + after
