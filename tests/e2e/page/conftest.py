"""The page in a real Chromium, before a real gateway: one browser and one gateway for all tests, a context for each."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect
from support.clients.browser import DESKTOP, Visit, chromium, visit
from support.gateways import serving

from fastchat.keys.record import digest
from fastchat_gateway.settings import Settings

from .model import ScriptedModel, start

MODELS = ("alpha", "beta", "gamma", "delta")
TOKEN = "internal-token"
OPERATOR, USER = "operators-key", "users-key"
_MOST_TABS = 90
_PATIENCE_MS = 60_000
expect.set_options(timeout=_PATIENCE_MS)


@dataclass
class World:
    """What there is to look at."""

    url: str
    model: ScriptedModel
    browser: Browser
    keys: Path
    """Folder of the API keys of another gateway, at `guarded`."""
    guarded: str
    """A gateway that asks for a key."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    model, keys = ScriptedModel(), tmp_path_factory.mktemp("keys")
    for name, fields in ((OPERATOR, {"operator": True}), (USER, {"models": ["alpha"], "requestsPerMinute": 60})):
        (keys / name).write_text(json.dumps({"sha256": digest(name.encode()).hex(), **fields}))
    worker = await start(model, *MODELS)
    shared: dict[str, Any] = {"workers": (worker.url,), "access_log": False, "grace_period_seconds": 0.1}
    shared |= {"poll_seconds": 0.1, "internal_token": TOKEN.encode()}
    async with (
        serving(Settings(**shared)) as (url, _),
        serving(Settings(**shared, keys_dir=keys)) as (guarded, _),
        chromium() as browser,
    ):
        yield World(url, model, browser, keys, guarded)
    await worker.kill()


Look = Callable[..., Awaitable[Visit]]


@pytest_asyncio.fixture(loop_scope="session")
async def look(world: World) -> AsyncIterator[Look]:
    """Opens the page in a context of its own; what it did that it should not fails the test."""
    visits: list[Visit] = []

    async def look(path: str = "/", url: str = "", **options: Any) -> Visit:
        context = await world.browser.new_context(**{"viewport": DESKTOP, **options})
        context.set_default_timeout(_PATIENCE_MS)
        visits.append(await visit(context, url or world.url, path))
        return visits[-1]

    yield look
    for each in visits:
        await each.check()
        await each.page.context.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def visited(world: World) -> AsyncIterator[Visit]:
    """One tab, which `page` begins anew for each test: a new one takes a second."""
    context = await world.browser.new_context(viewport=DESKTOP)
    context.set_default_timeout(_PATIENCE_MS)
    yield await visit(context, world.url)
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(visited: Visit) -> AsyncIterator[Page]:
    """The page with its models, before anything was said, in a browser that has kept nothing."""
    await visited.page.evaluate("localStorage.clear(); sessionStorage.clear()")
    await visited.page.goto("about:blank")
    await visited.page.goto(visited.url)
    await visited.page.locator("select option").first.wait_for(state="attached")
    yield visited.page
    await visited.check()


class Mouse:
    """Whoever points and clicks."""

    async def use(self, target: Locator) -> None:
        await target.click()

    async def write(self, target: Locator, text: str) -> None:
        await target.click()
        await target.press_sequentially(text)

    async def choose(self, target: Locator, value: str) -> None:
        await target.select_option(value)


_WAY = """(node) => {
  const now = document.activeElement;
  if (node !== now) return now.compareDocumentPosition(node) & Node.DOCUMENT_POSITION_PRECEDING ? "Shift+Tab" : "Tab";
  if (getComputedStyle(node).outlineStyle === "none") throw new Error("it cannot be seen where the focus is");
  return null;
}"""


class Keyboard:
    """Whoever has no mouse: goes from control to control with Tab, and sees where that leads."""

    async def use(self, target: Locator) -> None:
        await self.reach(target)
        await target.page.keyboard.press("Enter")

    async def write(self, target: Locator, text: str) -> None:
        await self.reach(target)
        await target.page.keyboard.type(text)

    async def choose(self, target: Locator, value: str) -> None:
        await self.reach(target)
        await target.page.keyboard.type(value)

    async def reach(self, target: Locator) -> None:
        await target.wait_for()
        for _ in range(_MOST_TABS):
            way = await target.evaluate(_WAY)
            if way is None:
                return
            await target.page.keyboard.press(way)
        raise AssertionError(f"{target} is not to be reached by Tab")


Hand = Mouse | Keyboard


@pytest.fixture(params=[Mouse, Keyboard], ids=["mouse", "keyboard"])
def hand(request: pytest.FixtureRequest) -> Hand:
    made: Hand = request.param()
    return made


async def ask(page: Page, text: str) -> None:
    """Send a prompt and wait until nothing is coming any more."""
    await page.locator("#composer-input").fill(text)
    await page.keyboard.press("Enter")
    await idle(page)


async def idle(page: Page) -> None:
    """Returns once all responses have ended."""
    await page.locator("#send-button").wait_for()
    await asyncio.sleep(0)


async def shown(page: Page, column: int = 0) -> list[str]:
    """Texts of a column's messages."""
    log = page.locator(".log").nth(column)
    return await log.locator(".message .text").all_text_contents()
