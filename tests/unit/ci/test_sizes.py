"""`make lint` names whatever has grown too big."""

import subprocess
import sys
from pathlib import Path

import pytest

SIZES = Path(__file__).parents[3] / ".ci/sizes.py"
PYPROJECT = '[tool.hatch.build.targets.wheel]\npackages = ["sdk/fastchat"]\n'


def function(lines, name="f", indent="", docstring=""):
    """Source of a function of so many lines."""
    body = [f'{indent}    """{docstring}"""'] if docstring else []
    return "\n".join([f"{indent}def {name}():", *body, *[f"{indent}    pass"] * (lines - 1), ""])


@pytest.fixture
def check(tmp_path):
    """Writes files into a repository; exit code and lines of the check."""

    def run(files):
        subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
        for name, text in {"pyproject.toml": PYPROJECT, **files}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        done = subprocess.run([sys.executable, SIZES, tmp_path], capture_output=True, text=True)
        assert not done.stderr
        return done.returncode, done.stdout.splitlines()

    return run


def median_of(count, lines):
    return f"{count} functions in the packages, half of them of at most {lines} lines"


def test_what_is_small_enough_passes_and_the_median_is_said(check):
    files = {"sdk/fastchat/a.py": function(5) + function(4) + function(45), "tests/b.py": "pass\n" * 400}
    assert check(files) == (0, [median_of(3, 5)])


def test_a_long_function_is_named_wherever_it_is(check):
    source = "class C:\n" + function(46, "method", indent="    ")
    assert check({"benchmarks/a.py": source}) == (
        1,
        ["benchmarks/a.py:2: method has 46 lines, more than 45", median_of(0, 0)],
    )


def test_a_docstring_makes_no_function_longer(check):
    assert check({"a.py": function(45, docstring="One.\n\n    Two.\n")})[0] == 0


def test_a_long_file_is_named(check):
    assert check({"tests/a.py": "pass\n" * 401}) == (1, ["tests/a.py: 401 lines, more than 400", median_of(0, 0)])


def test_a_full_folder_is_named_whatever_kind_of_files_it_has(check):
    data = {f"data/{number}.json": "" for number in range(16)} | {f"data/inner/{number}.py": "" for number in range(15)}
    assert check(data) == (1, ["data/: 16 files, more than 15", median_of(0, 0)])


def test_what_git_ignores_does_not_count(check):
    ignored = {f"build/{number}.py": "pass\n" * 401 for number in range(16)}
    assert check({".gitignore": "build/\n", **ignored})[0] == 0


def test_a_median_above_five_lines_fails_and_only_packages_count_for_it(check):
    files = {"sdk/fastchat/a.py": function(2) + function(6) + function(6), "tests/b.py": function(2) * 9}
    assert check(files) == (
        1,
        ["the median of the packages' functions is 6 lines, more than 5", median_of(3, 6)],
    )
