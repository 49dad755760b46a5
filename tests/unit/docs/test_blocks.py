"""What the pages tell people to type makes sense: shell, Python and manifests, before any of it is run."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from support.pages.blocks import QUICKSTARTS, ROOT, blocks, commands

from fastchat.v1alpha1.deployment import ModelDeployment

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TOLD = [
    ROOT / "README.md",
    *sorted((ROOT / "docs/quickstart").glob("*.md")),
    *sorted((ROOT / "docs/recipes").glob("*.md")),
]
MINUTES = 5
WORDS_A_MINUTE = 200


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_shell_can_be_parsed(page):
    for block in (block for block in blocks(page) if block.language == "bash"):
        done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, f"{block.text}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_can_be_compiled(page):
    for block in (block for block in blocks(page) if block.language == "python"):
        compile(block.text, name(page), "exec", flags=0x2000)  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, as in a notebook


@pytest.mark.parametrize("page", TOLD, ids=name)
def test_every_model_deployment_is_valid(page):
    texts = [block.text for block in blocks(page) if block.language == "yaml"]
    objects = [each for text in texts for each in yaml.safe_load_all(text)]
    for found in (each for each in objects if each.get("kind") == "ModelDeployment"):
        ModelDeployment.model_validate(found)


@pytest.mark.parametrize("page", QUICKSTARTS, ids=name)
def test_every_block_says_its_language(page):
    assert [block.text for block in blocks(page) if not block.language] == []


@pytest.mark.parametrize("page", QUICKSTARTS, ids=name)
def test_what_make_is_asked_for_is_there(page):
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.M))
    asked = {target for block in blocks(page) for target in re.findall(r"^make ([a-z-]+)", block.text, re.M)}
    assert asked <= targets


@pytest.mark.parametrize("page", QUICKSTARTS, ids=name)
def test_files_that_are_named_in_commands_are_there_or_shown(page):
    shown = {block.file for block in blocks(page)}
    told = "\n".join(block.text for block in blocks(page) if block.language == "bash")
    named = set(re.findall(r"(?<![\w/.-])((?:[\w-]+/)*[\w.-]+\.(?:yaml|py))\b", told))
    assert not {path for path in named if path not in shown and not (ROOT / path).exists()}


@pytest.mark.parametrize("page", sorted((ROOT / "docs/quickstart").glob("*.md")), ids=name)
def test_a_quickstart_is_read_in_five_minutes(page):
    assert len(page.read_text().split()) <= MINUTES * WORDS_A_MINUTE


def test_images_and_loads_name_the_images_that_make_builds():
    """What needs Docker or kind cannot be run here: the names in it are those of the Makefile and the chart."""
    told = [block.text for page in QUICKSTARTS for block in commands(page, "docker")]
    images = {image for text in told for image in re.findall(r"fastchat-(\w+):dev", text)}
    parts = re.search(r"^PARTS \?= (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert parts
    assert images == set(parts.group(1).split())


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=name)
def test_anchors_in_pages_beside_the_site_are_there(page):
    links = re.findall(r"\]\(([\w/.-]+\.md)?#([\w-]+)\)", page.read_text())
    assert not [
        f"{file}#{anchor}" for file, anchor in links if anchor not in anchors(page.parent / (file or page.name))
    ]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_addresses_elsewhere_are_whole(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    elsewhere = [link for link in re.findall(r"\]\(([^)\s]*)\)", text) if ":" in link]
    assert [link for link in elsewhere if not re.fullmatch(r"https?://[a-z0-9.-]+\.[a-z]+(/[\w./#%-]*)?", link)] == []


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub makes them, and those that are written."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    made = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="([^"]+)"', page.read_text()))
