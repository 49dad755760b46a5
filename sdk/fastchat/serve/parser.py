"""FastChat's own commands: their arguments, translated into those of our worker and gateway.

An argument that has no meaning any more is accepted with a note where leaving it out changes nothing, and otherwise
refused with what to use instead. Source: fastchat/serve/{model_worker,openai_api_server,controller}.py of FastChat 0.2.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Knows, beside what is translated, what FastChat took once."""

    def __init__(self, module: str) -> None:
        super().__init__(prog=f"python3 -m {module}", allow_abbrev=False)

    def note(self, flags: Mapping[str, str]) -> None:
        """These are accepted, each with one line on stderr."""
        for flag, why in flags.items():
            self.add_argument(flag, nargs="?", action=_Note, const=why, help=argparse.SUPPRESS)

    def refuse(self, flags: Mapping[str, str]) -> None:
        """These end the program, with what to use instead."""
        for flag, instead in flags.items():
            self.add_argument(flag, nargs="?", action=_Refuse, const=instead, help=argparse.SUPPRESS)


class _Note(argparse.Action):
    def __call__(self, _parser: object, _namespace: object, _values: object, option: str | None = None) -> None:
        sys.stderr.write(f"{option} has no effect: {self.const}\n")


class _Refuse(argparse.Action):
    def __call__(
        self, parser: argparse.ArgumentParser, _namespace: object, _values: object, option: str | None = None
    ) -> None:
        parser.error(f"{option} is not supported: {self.const}")


def become(module: str, arguments: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Run `python -m module` in place of this process."""
    os.execve(sys.executable, [sys.executable, "-m", module, *arguments], {**os.environ, **env})  # noqa: S606
