"""What `fastchat up` shows in the terminal while models load."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal, TextIO

Stage = Literal["loading", "ready", "down"]


@dataclass(frozen=True)
class View:
    """The state of one process, for display."""

    label: str
    stage: Stage
    detail: str = ""


def progress_line(views: Sequence[View], seconds: float, width: int) -> str:
    """The state of all processes as one line of fewer than `width` characters."""
    parts = [f"{view.label} {view.stage}" + (f" ({view.detail})" if view.detail else "") for view in views]
    line = f"{seconds:3.0f} s  " + " · ".join(parts)
    return line if len(line) < width else line[: width - 2] + "…"


def changes(before: Sequence[View], after: Sequence[View], seconds: float) -> list[str]:
    """One line for each process whose stage changed."""
    return [
        f"{new.label} is {new.stage}" + (f" after {seconds:.1f} s" if new.stage == "ready" else "")
        for old, new in zip_longest(before, after)
        if old is None or old.stage != new.stage
    ]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows in aligned columns."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


class Terminal:
    """Writes lines, and in a real terminal keeps one line below them that is rewritten in place."""

    def __init__(self, stream: TextIO, width: int) -> None:
        self._stream = stream
        self._width = width
        self._live = stream.isatty()
        self._below = ""
        self._shown: Sequence[View] = ()
        self._began = time.monotonic()

    def line(self, text: str) -> None:
        self._write(f"{text}\n")

    def progress(self, views: Sequence[View]) -> None:
        """Show the state of the processes: rewritten in place in a terminal, else a line for each change."""
        seconds = time.monotonic() - self._began
        if self._live:
            self._below = progress_line(views, seconds, self._width)
            self._write("")
        else:
            for text in changes(self._shown, views, seconds):
                self.line(text)
        self._shown = views

    def end_progress(self) -> None:
        self._below = ""
        self._write("")

    def _write(self, text: str) -> None:
        clear = "\r\x1b[K" if self._live else ""
        with contextlib.suppress(OSError):  # a terminal that went away must not keep the processes from being stopped
            self._stream.write(f"{clear}{text}{self._below}")
            self._stream.flush()
