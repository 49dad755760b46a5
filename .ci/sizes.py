#!/usr/bin/env python3
"""Fails where something has grown too big to be read at once, and names it: a function, a Python file, a folder.

A function's lines are those from `def` to its end without its docstring, for what is explained is not longer to read.
A folder's files are all that lie in it itself, of whatever kind: whoever looks for one scrolls past data as well.
What git ignores does not count. Half of the functions of the packages together are short, and how short is printed.
"""

import ast
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePath
from statistics import median

FUNCTION_LINES = 45
FILE_LINES = 400
FOLDER_FILES = 15
MEDIAN_LINES = 5

Lengths = dict[PurePath, list[tuple[str, int, int]]]
"""Python file → name, line and length of each of its functions."""


def main(root: Path) -> int:
    """Exit code: 0, or 1 where anything is too big."""
    files = tracked(root)
    lengths = {file: function_lengths(root / file) for file in files if file.suffix == ".py"}
    packages = shipped_packages(root)
    shipped = [lines for file in lengths if is_in(file, packages) for _, _, lines in lengths[file]]
    middle = median(shipped or [0])
    problems = [*too_long_functions(lengths), *too_long_files(root, lengths), *too_full_folders(files)]
    if middle > MEDIAN_LINES:
        problems.append(f"the median of the packages' functions is {middle:g} lines, more than {MEDIAN_LINES}")
    for problem in problems:
        print(problem)
    print(f"{len(shipped)} functions in the packages, half of them of at most {middle:g} lines")
    return 1 if problems else 0


def tracked(root: Path) -> list[PurePath]:
    """Files that git has or would take, by their paths below `root`."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [PurePath(name) for name in listed.split("\0") if name and (root / name).is_file()]


def shipped_packages(root: Path) -> list[str]:
    """Folders of the packages that the wheel has."""
    settings = tomllib.loads((root / "pyproject.toml").read_text())
    packages: list[str] = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    return packages


def is_in(file: PurePath, folders: list[str]) -> bool:
    return any(file.is_relative_to(folder) for folder in folders)


def function_lengths(file: Path) -> list[tuple[str, int, int]]:
    """Name, line and length of every function, those inside others as well."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, functions)]
    return [(node.name, node.lineno, length(node)) for node in found]


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is None:
        return lines
    docstring = function.body[0]
    return lines - ((docstring.end_lineno or docstring.lineno) - docstring.lineno + 1)


def too_long_functions(lengths: Lengths) -> Iterator[str]:
    for file, functions in lengths.items():
        for name, line, lines in functions:
            if lines > FUNCTION_LINES:
                yield f"{file}:{line}: {name} has {lines} lines, more than {FUNCTION_LINES}"


def too_long_files(root: Path, files: Lengths) -> Iterator[str]:
    for file in files:
        if (lines := len((root / file).read_text().splitlines())) > FILE_LINES:
            yield f"{file}: {lines} lines, more than {FILE_LINES}"


def too_full_folders(files: list[PurePath]) -> Iterator[str]:
    for folder, count in sorted(Counter(file.parent for file in files).items()):
        if count > FOLDER_FILES:
            yield f"{folder}/: {count} files, more than {FOLDER_FILES}"


if __name__ == "__main__":
    sys.exit(main(Path(__file__).parents[1] if len(sys.argv) < 2 else Path(sys.argv[1])))
