"""Types of command line options: argparse calls them with what was given."""

import argparse
from collections.abc import Callable


def between(low: int, high: int = 2**63) -> Callable[[str], int]:
    """A whole number within these bounds, both included."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"not a whole number: {text!r}") from None
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{number} is not between {low} and {high}")
        return number

    return parse
