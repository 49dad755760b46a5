"""What notebooks show of our values: small tables and texts as HTML, everything escaped."""

from collections.abc import Iterable, Sequence
from html import escape

_LONGEST = 2000
"""Characters of one text that are shown."""
_TEXT = "white-space:pre-wrap;margin:0;text-align:left"


class Plain(str):
    """A text that `repr` shows without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows with a head; an empty head is left out."""
    top = f"<thead>{_row(head, 'th')}</thead>" if head else ""
    return f"<table>{top}<tbody>{''.join(_row(row, 'td') for row in rows)}</tbody></table>"


def text(content: str, note: str = "") -> str:
    """A text as it is, and a small line about it."""
    below = f"<small>{escape(note)}</small>" if note else ""
    return f'<div><pre style="{_TEXT}">{escape(shortened(content, _LONGEST))}</pre>{below}</div>'


def shortened(content: str, longest: int) -> str:
    """The text, or its beginning with a mark that there is more."""
    return content if len(content) <= longest else f"{content[: longest - 1]}…"


def numbers(vector: Sequence[float]) -> str:
    """A vector by its first numbers and its length."""
    first = ", ".join(f"{number:.4g}" for number in vector[:3])
    return f"[{first}, … {len(vector)} numbers]" if len(vector) > 3 else f"[{first}]"


def _row(cells: Sequence[object], tag: str) -> str:
    return f"<tr>{''.join(_cell(cell, tag) for cell in cells)}</tr>"


def _cell(cell: object, tag: str) -> str:
    return f'<{tag} style="text-align:left">{escape(shortened(str(cell), _LONGEST))}</{tag}>'
