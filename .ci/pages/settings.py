"""Every setting of gateway, worker and operator, from their parsers and types."""

import argparse
from collections.abc import Iterator
from typing import Any

from fastchat_gateway import settings as gateway
from fastchat_operator.settings import Settings as Operator
from fastchat_worker import settings as worker
from pages.tables import code, plain, table

_INTRODUCTION = """\
<!-- Generated from the settings of gateway, worker and operator by `make pages`. Do not edit. -->
# Settings

In a cluster the operator starts gateways and workers, and the [chart](chart.md) writes the operator's file: set
`gateway.args` of the chart, or `spec.engine.args` of a ModelDeployment, for what has no field of its own there. An
option given twice counts as it was given last, unless it may be repeated.
"""


def reference() -> str:
    """The page of the site."""
    parts = [
        _INTRODUCTION,
        "## Gateway\n\n`python -m fastchat_gateway`; [what it does](../gateway.md).\n",
        _options(gateway.command_line()),
        "## Worker\n\n`python -m fastchat_worker`; [what it does](../worker.md).\n",
        _options(worker.command_line()),
        "## Operator\n\n`python -m fastchat_operator --config FILE`, a YAML file; [what it does](../operator.md).\n",
        _fields(),
    ]
    return "\n".join(parts)


def _options(parser: argparse.ArgumentParser) -> str:
    actions = [action for action in parser._actions if action.dest != "help"]
    return table(("option", "default", "meaning"), [_row(action) for action in actions])


def _row(action: argparse.Action) -> tuple[str, str, str]:
    names = " ".join(filter(None, (", ".join(action.option_strings), _value(action))))
    default = "**required**" if action.required else code(_default(action.default))
    return code(names), default, plain(str(action.help))


def _value(action: argparse.Action) -> str:
    """What stands behind the option's name."""
    if action.nargs == 0:
        return ""
    if action.choices:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return str(action.metavar or action.dest.upper())


def _default(value: Any) -> str:
    """As it is written in YAML; nothing where what is left out says so itself."""
    return "" if value in (None, False, "", [], (), {}) else str(value).replace("True", "true")


def _fields() -> str:
    schema = Operator.model_json_schema(by_alias=True)
    return table(("field", "default", "meaning"), _below(schema, schema["$defs"], ()))


def _below(node: dict[str, Any], types: dict[str, Any], place: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    for name, field in node["properties"].items():
        path = (*place, name)
        inner = types.get(field.get("$ref", "").rpartition("/")[2], {})
        about = field.get("description") or inner.get("description", "")
        yield code(".".join(path)), code(_default(field.get("default"))), plain(about)
        if "properties" in inner and name != "resources":
            yield from _below(inner, types, path)
