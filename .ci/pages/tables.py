"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a line break at its end; what a cell holds is Markdown already, on one line."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def code(text: str) -> str:
    """In the type of code; nothing for an empty text."""
    return f"`{plain(text)}`" if text else ""


def plain(text: str) -> str:
    """On one line, with bars that end no cell."""
    return " ".join(text.split()).replace("|", "\\|")
