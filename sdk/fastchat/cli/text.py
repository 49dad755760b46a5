"""Text that a model wrote, made fit to be shown."""

import re
import sys

from fastchat.cli.console import has_colours, is_terminal

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """The text with its control characters made visible: a model may not move the cursor or set the window's title."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


class Writer:
    """Writes an answer to stdout as it comes: reasoning dim before it, in a terminal."""

    def __init__(self) -> None:
        self._terminal = is_terminal(sys.stdout)
        self._dim = ("\x1b[2m", "\x1b[0m") if has_colours(sys.stdout) else ("[reasoning] ", "")
        self._reasoning = False
        self.wrote = False

    def reasoning(self, text: str) -> None:
        """Shown in terminals alone: who reads a pipe asked for the answer."""
        if not self._terminal or not text:
            return
        if not self._reasoning:
            self._out(self._dim[0])
        self._reasoning = True
        self._out(printable(text))

    def content(self, text: str) -> None:
        if not text:
            return
        self._end_reasoning()
        self.wrote = True
        self._out(printable(text) if self._terminal else text)

    def end(self) -> None:
        """The answer is complete, or will not be."""
        self._end_reasoning()
        if self.wrote:
            self._out("\n")

    def _end_reasoning(self) -> None:
        if self._reasoning:
            self._out(f"{self._dim[1]}\n\n")
        self._reasoning = False

    def _out(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
