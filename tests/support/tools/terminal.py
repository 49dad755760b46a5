"""The `fastchat` command in a terminal of its own, as a person at its keyboard has it."""

import os
import sys
from collections.abc import Mapping

import pexpect

from support.eventually import PATIENCE_SECONDS

KEYS = {"up": "\x1b[A", "left": "\x1b[D", "ctrl-c": "\x03", "ctrl-d": "\x04"}


class Terminal:
    """A running command; `says` waits for a text, which is a regular expression."""

    def __init__(self, *arguments: str, env: Mapping[str, str] | None = None, columns: int = 120) -> None:
        self.child = pexpect.spawn(
            sys.executable,
            ["-m", "fastchat", *arguments],
            env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **(env or {})},
            encoding="utf-8",
            dimensions=(40, columns),
            timeout=PATIENCE_SECONDS,
        )

    def types(self, line: str) -> None:
        self.child.sendline(line)

    def presses(self, *keys: str) -> None:
        self.child.send("".join(KEYS.get(key, key) for key in keys))

    def says(self, text: str) -> str:
        """Returns what came before it."""
        self.child.expect(text)
        return str(self.child.before)

    def ends(self) -> tuple[int | None, str]:
        """Exit code, and what was said at last."""
        self.child.expect(pexpect.EOF)
        said = str(self.child.before)
        self.child.close()
        return self.child.exitstatus, said

    def close(self) -> None:
        self.child.close(force=True)
