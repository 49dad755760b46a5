"""Pages that are generated: `python -m pages` writes them, `--check` fails where one is not what it would write."""

import difflib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from pages import chart, metrics, settings

ROOT = Path(__file__).parents[2]
PAGES: Mapping[str, Callable[[], str]] = {
    "docs/reference/chart.md": chart.reference,
    "docs/reference/metrics.md": metrics.reference,
    "docs/reference/settings.md": settings.reference,
    "charts/fastchat/README.md": chart.readme,
}


def main(arguments: list[str]) -> int:
    """Exit code: 0, or 1 where a page differs."""
    if arguments == ["--check"]:
        return int(sum(differs(ROOT / name, make()) for name, make in PAGES.items()) > 0)
    for name, make in PAGES.items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(make())
    return 0


def differs(page: Path, wanted: str) -> bool:
    """Whether a page has another text; prints how it differs, and what mends that."""
    there = page.read_text() if page.exists() else ""
    lines = difflib.unified_diff(there.splitlines(True), wanted.splitlines(True), str(page), "make pages")
    sys.stdout.writelines(lines)
    return there != wanted


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
