"""The site of docs/, built as `make docs` builds it."""

import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from shutil import copytree
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
BUILD = [str(Path(sys.executable).with_name("zensical")), "build", "--strict", "--clean"]


class References(HTMLParser):
    """What a page loads, and where its links go."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loaded: set[str] = set()
        self.links: set[str] = set()
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a":
            self.links.add(given.get("href") or "")
        else:
            self.loaded |= {given[name] or "" for name in ("src", "href") if name in given}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the site is built from, for zensical builds inside the project only."""
    project = tmp_path_factory.mktemp("project")
    copytree(DOCS, project / "docs")
    (project / "zensical.toml").write_text((ROOT / "zensical.toml").read_text())
    return project


@pytest.fixture(scope="module")
def site(project: Path) -> Path:
    done = build(project)
    assert done.returncode == 0, done.stdout + done.stderr
    return project / "build/docs"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, References]:
    return {str(page.relative_to(site)): References(page) for page in site.rglob("*.html")}


def build(project: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(BUILD, cwd=project, capture_output=True, text=True, timeout=120)


def placed(entry: object) -> list[str]:
    """The pages of an entry of the navigation, those below it included."""
    if isinstance(entry, str):
        return [entry]
    below = entry.values() if isinstance(entry, dict) else entry
    return [page for each in below for page in placed(each)]


def test_every_page_is_built(pages):
    sources = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    made = {re.sub(r"README\.md$", "index.md", source).removesuffix(".md") + ".html" for source in sources}
    assert made <= pages.keys()


def test_every_page_but_single_decisions_is_in_the_navigation():
    navigation = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    sources = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    left_out = sources - set(placed(navigation))
    assert all(page.startswith("decisions/") for page in left_out), left_out


def test_a_page_loads_nothing_from_another_host(pages):
    assert len(pages) > 40
    assert {(name, url) for name, page in pages.items() for url in page.loaded if urlsplit(url).netloc} == set()


def test_no_style_loads_anything_from_another_host(site):
    styles = list(site.rglob("*.css"))
    assert styles
    assert not [url for style in styles for url in re.findall(r"url\([\"']?(?:https?:)?//[^)]*\)", style.read_text())]


def test_no_diagram_is_drawn_by_a_script_of_another_host(site):
    """The theme's script fetches mermaid where a page has such a block."""
    assert not [page.name for page in site.rglob("*.html") if 'class="mermaid"' in page.read_text()]


def test_links_to_elsewhere_are_whole_addresses(pages):
    links = {link for page in pages.values() for link in page.links if not link.startswith(("#", "."))}
    elsewhere = {link for link in links if urlsplit(link).scheme}
    odd = [link for link in elsewhere if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d+)?(/[^\s<>]*)?", link)]
    assert elsewhere
    assert odd == []


def test_each_link_that_leads_nowhere_fails_the_build(project):
    page = project / "docs/broken.md"
    page.write_text("# Broken\n\n[page](nowhere.md) [anchor](keys.md#nowhere) [own anchor](#nowhere)\n")
    try:
        done = build(project)
    finally:
        page.unlink()
    assert done.returncode != 0
    assert "3 issues found" in done.stdout + done.stderr
