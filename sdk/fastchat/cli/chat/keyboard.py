"""What a user types: lines with history and editing, and texts of several lines."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

FIRST, FURTHER = ">>> ", "... "
_QUOTES = '"""'
_HISTORY_LINES = 1000


def read_text(line: Callable[[str], str]) -> str:
    """One text of the user, by `line`, which shows a prompt and gives what was typed.

    Raises:
        EOFError: there is no more.
        KeyboardInterrupt: the text is not to be.
    """
    text = line(FIRST)
    if text.strip().startswith(_QUOTES):
        return _quoted(text.strip().removeprefix(_QUOTES), line)
    lines = [text]
    while lines[-1].endswith("\\"):
        lines[-1] = lines[-1][:-1]
        lines.append(line(FURTHER))
    return "\n".join(lines)


def _quoted(first: str, line: Callable[[str], str]) -> str:
    lines = [first]
    while not lines[-1].rstrip().endswith(_QUOTES):
        lines.append(line(FURTHER))
    lines[-1] = lines[-1].rstrip().removesuffix(_QUOTES)
    return "\n".join(lines).strip("\n")


def from_terminal(prompt: str) -> str:
    """A line from stdin; the prompt is for a terminal alone."""
    return input(prompt if sys.stdin.isatty() else "")


@contextlib.contextmanager
def history(path: Path) -> Iterator[None]:
    """Arrow keys and Ctrl-R in `input`, with the lines of earlier conversations; nothing where there is no readline."""
    try:
        import readline
    except ImportError:
        yield
        return
    with contextlib.suppress(OSError):
        readline.read_history_file(path)
    readline.set_history_length(_HISTORY_LINES)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            readline.write_history_file(path)


def history_path() -> Path:
    """https://specifications.freedesktop.org/basedir-spec/latest/"""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "fastchat" / "chat_history"
