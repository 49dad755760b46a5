"""What the pages name is there: files that they link to, and folders that they say things are in."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from fastchat.api.common import Request
from fastchat.api.routes import ROUTES

ROOT = Path(__file__).parents[3]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
PACKAGES = {
    "fastchat": ROOT / "sdk/fastchat",
    "fastchat_gateway": ROOT / "images/gateway/fastchat_gateway",
    "fastchat_worker": ROOT / "images/worker/fastchat_worker",
    "fastchat_operator": ROOT / "operator/fastchat_operator",
}
ROOMS_OF = {"gateway.md": "fastchat_gateway", "worker.md": "fastchat_worker", "operator.md": "fastchat_operator"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_links_to_is_there(page):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    local = [link for link in links if not link.startswith(("http:", "https:", "mailto:"))]
    assert not [link for link in local if not (page.parent / link).exists()]


def test_where_is_everything_that_the_overview_places():
    named = re.findall(r"`(fastchat(?:_\w+)?)/([\w/.]+)`", (ROOT / "docs/architecture/overview.md").read_text())
    assert len(named) > 15
    assert not [f"{package}/{path}" for package, path in named if not (PACKAGES[package] / path).exists()]


@pytest.mark.parametrize("page", ROOMS_OF)
def test_a_parts_page_has_a_row_for_each_of_its_rooms(page):
    package = PACKAGES[ROOMS_OF[page]]
    rooms = {folder.name for folder in package.iterdir() if (folder / "__init__.py").exists()}
    rows = [line.split("|")[1] for line in (ROOT / "docs/architecture" / page).read_text().splitlines() if "|" in line]
    assert rooms == {room for row in rows for room in re.findall(r"`(\w+)/`", row)}


def test_every_test_that_a_threat_names_is_there():
    named = re.findall(r"`((?:unit|integration|e2e)/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs/security.md").read_text())
    assert len(named) > 30
    missing = [f"{path}::{name}" for path, name in named if f"def {name}" not in source(ROOT / "tests" / path)]
    assert not missing


def test_the_clients_that_were_run_are_those_of_the_locks():
    told = (ROOT / "docs/agents.md").read_text().partition("## What was run")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (?:`([^`]+)`)? \| ([\d.]+) \|", told, re.MULTILINE)
    clients, llama_index, fschat = (
        dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "tests" / lock).read_text(), re.MULTILINE))
        for lock in (
            "e2e/clients/requirements.lock",
            "e2e/clients/llama_index/requirements.lock",
            "support/clients/fschat/requirements.lock",
        )
    )
    agents = json.loads((ROOT / "tests/e2e/clients/agents/package.json").read_text())["dependencies"]
    locked = llama_index | clients | agents | {"": fschat["openai"], "pydantic-ai": clients["pydantic-ai-slim"]}
    assert len(rows) > 10
    assert {name: version for name, version in rows if locked[name] != version} == {}


def source(test: Path) -> str:
    return test.read_text() + "def \n" if test.exists() else ""


def request_types(annotation: Any) -> Iterator[type[Request]]:
    """Every type of a request, or of a part of one, that stands somewhere in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Request):
        yield annotation
        for field in annotation.model_fields.values():
            yield from request_types(field.annotation)
    for argument in get_args(annotation):
        yield from request_types(argument)


REQUEST_TYPES = sorted({it for route in ROUTES for it in request_types(route.request)}, key=lambda it: it.__name__)


@pytest.fixture(scope="module")
def words() -> set[str]:
    """What the page of the API has in code's type."""
    return set(re.findall(r"`([^`\n]+)`", (ROOT / "docs/api.md").read_text()))


def test_the_page_of_the_api_has_every_route(words):
    assert not {route.path for route in ROUTES} - words


@pytest.mark.parametrize("request_type", REQUEST_TYPES)
def test_the_page_of_the_api_has_every_field_of_a_request(request_type, words):
    assert not {field.alias or name for name, field in request_type.model_fields.items()} - words
