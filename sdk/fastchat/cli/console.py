"""What commands print: results on stdout, everything about them on stderr.

Colours and rich's tables are for terminals; elsewhere, and with NO_COLOR (https://no-color.org), there is plain text.
rich is imported when something is drawn with it: it takes longer to import than most commands take.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from fastchat.local.progress import table

if TYPE_CHECKING:
    from rich.console import Console


def show(text: str) -> None:
    """A line of the result."""
    print(text, flush=True)


def say(text: str) -> None:
    """A line about the result, which no pipe gets."""
    print(text, file=sys.stderr, flush=True)


def complain(text: str) -> None:
    """Why the command ends without a result; red in a terminal."""
    say(f"\x1b[31m{text}\x1b[0m" if has_colours(sys.stderr) else text)


def show_json(value: Any) -> None:
    """One JSON document: indented in a terminal, elsewhere a line."""
    print(json.dumps(value, ensure_ascii=False, indent=2 if is_terminal(sys.stdout) else None), flush=True)


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]], styles: Mapping[str, str] | None = None) -> None:
    """Rows in aligned columns. `styles`: a cell's text, or its first word → rich's style for it in a terminal."""
    if not is_terminal(sys.stdout):
        return show(table(head, rows))
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*head, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        drawn.add_row(*(Text(cell, style=_style(cell, styles or {})) for cell in row))
    return console().print(drawn)


def _style(cell: str, styles: Mapping[str, str]) -> str:
    return styles.get(cell) or styles.get(cell.partition(" ")[0], "")


def console(stream: TextIO | None = None) -> "Console":
    """rich's console on stdout, or on `stream`; it prints what it is given, and colours no words on its own."""
    from rich.console import Console

    return Console(file=stream, highlight=False, emoji=False, markup=False)


def is_terminal(stream: TextIO) -> bool:
    return stream.isatty()


def has_colours(stream: TextIO) -> bool:
    """Whether escape sequences for colours are understood there, and wanted."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
