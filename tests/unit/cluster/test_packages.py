"""Whatever of Debian's a test, a benchmark, an example or make starts is installed by the tests themselves."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from cluster.skips import NotHere
from cluster.tools import packages

ROOT = Path(__file__).parents[3]
SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
COMMAND = re.compile(r"(?:^|&&|\|\||[;|(`])[\s@]*(?:\w+=\S*\s+)*(?:exec |if |then |while |do |! )*([\w.+-]+)", re.M)


def started() -> Iterator[tuple[str, str]]:
    """Each word that stands where a program is named, and where that is; words that name none are among them."""
    for file in (path for top in ("tests", "benchmarks", "examples") for path in (ROOT / top).rglob("*.py")):
        yield from ((word, f"{file.relative_to(ROOT)}:{line}") for word, line in words(file.read_text()))
    recipes = "\n".join(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("\t"))
    yield from ((word, "Makefile") for word in COMMAND.findall(re.sub(r"\$\([A-Z]+\)\S*|\\\n", "true", recipes)))
    yield from ((word, ".ci/run") for word in COMMAND.findall((ROOT / ".ci/run").read_text()))


def words(source: str, *, printed: bool = True) -> Iterator[tuple[str, int]]:
    """First words of lists, words behind a prefix as in [*alone, "tar"], and the commands of shell scripts.

    printed: those of texts too that may only be compared with what is said.
    """
    script = r"^set -e|&& |^curl " if printed else r"^set -e|&& "
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.List(elts=[_, _, *_] as elements) | ast.Assign(value=ast.Tuple(elts=[_, _, *_] as elements)):
                behind = [None, *elements]
                heads = [e for p, e in zip(behind, elements, strict=False) if p is None or isinstance(p, ast.Starred)]
                yield from ((head.value, head.lineno) for head in heads if _is_text(head))
            case ast.Call(func=ast.Attribute(attr="which"), args=[program]) if _is_text(program):
                yield program.value, node.lineno
            case ast.Constant(value=str(text)) if re.search(script, text, re.M):
                yield from ((word, node.lineno) for word in COMMAND.findall(text))


@cache
def named(file: Path) -> frozenset[str]:
    """What a file starts, but for what may only be compared with what is said."""
    return frozenset(word for word, _ in words(file.read_text(), printed=False))


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


@cache
def imported(file: Path) -> frozenset[Path]:
    """A file of the tests, what it and its conftests import of them, and so on."""
    found, left = {file}, [file]
    while left:
        new = {path for path in _imports(left.pop()) if path.exists()} - found
        found |= new
        left += new
    return frozenset(found)


@cache
def _imports(file: Path) -> frozenset[Path]:
    tests = ROOT / "tests"
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.ImportFrom(module=str(module), names=parts, level=0):
                names |= {module, *(f"{module}.{part.name}" for part in parts)}
            case ast.Import(names=parts):
                names |= {part.name for part in parts}
            case ast.arg(arg="local_cluster"):  # a fixture that every test can have
                names.add("cluster.fixtures")
    modules = {tests / f"{name.replace('.', '/')}.py" for name in names}
    return frozenset(
        modules | {folder / "conftest.py" for folder in file.parents if tests in (folder, *folder.parents)}
    )


@cache
def owner(program: str) -> str | None:
    """The Debian package that a program on this machine is of, unless every Debian has it."""
    path = shutil.which(program, path=SYSTEM)
    if "/" in program or not path:
        return None
    for name in (path, str(Path(path).resolve()), path.removeprefix("/usr")):  # /bin is a link, and dpkg knows one name
        found = subprocess.run(["dpkg-query", "--search", name], capture_output=True, text=True).stdout
        if package := re.match(r"([\w.+-]+)(?::\w+)?: ", found):
            show = ["dpkg-query", "--show", "--showformat=${Essential} ${Priority}", package[1]]
            kind = subprocess.run(show, capture_output=True, text=True, check=True).stdout
            return None if "yes" in kind or "required" in kind or package[1] in packages.BASE else package[1]
    return None


def undeclared(found: Iterator[tuple[str, str]]) -> dict[str, str]:
    """Program → where it is started, for those that this machine has, but a fresh one would not."""
    declared = {*packages.every(), *packages.every().values()}
    return {word: place for word, place in found if owner(word) and word not in declared}


@pytest.fixture(autouse=True)
def _debian() -> None:
    if not shutil.which("dpkg-query"):
        raise NotHere("what a program is of is known on Debian only")


def test_every_program_that_is_started_is_of_a_package_that_the_tests_install():
    assert undeclared(started()) == {}


def test_whoever_starts_a_program_of_these_has_it_installed_first():
    """He, or what he imports: no other test need have run before."""
    for test in sorted(set((ROOT / "tests").rglob("test_*.py")) - {Path(__file__)}):
        files = {file for file in imported(test) if file.name != "packages.py"}
        wanted = {word for file in files for word in named(file)} & set(packages.every())
        groups = {name for file in files for name in re.findall(r"require\(packages\.([A-Z]+)\)", file.read_text())}
        installed = {program for name in groups for program in getattr(packages, name)}
        assert wanted <= installed, test


@pytest.mark.parametrize(
    "source",
    [
        'subprocess.run(["dpkg-deb", "--info", file])',
        'command = [*alone, "dpkg-deb", file]',
        'SCRIPT = """\nset -e\nip link set lo up\ncat x | dpkg-deb -I -\n"""',
        'if shutil.which("dpkg-deb"): pass',
    ],
)
def test_a_program_that_no_group_names_is_found(source, monkeypatch):
    monkeypatch.setattr(packages, "BASE", ())
    monkeypatch.setattr(f"{__name__}.owner", lambda program: {"dpkg-deb": "dpkg"}.get(program))
    assert undeclared((word, "here") for word, _ in words(source)) == {"dpkg-deb": "here"}


def test_what_is_removed_for_ci_is_what_the_groups_name():
    groups = [packages.CLUSTER, packages.IMAGES, packages.COMPILER, packages.CILIUM, packages.CURL]
    assert {package for group in groups for package in group.values()} <= set(packages.every().values())
    assert all(isinstance(name, str) for pair in packages.every().items() for name in pair)
    assert not {"apt", "bash", "coreutils", "git", "make", "python3"} & set(packages.every().values())
