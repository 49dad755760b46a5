"""Nothing that a model, a model's name, a tool call or a key's name says is ever run, or loads anything."""

import json
from typing import Any

import pytest
from playwright.async_api import Page, expect
from support.clients.browser import Visit
from support.gateways import serving

from fastchat_gateway.settings import Settings

from .conftest import TOKEN, Look, World, ask
from .model import Script, start
from .payloads import PAYLOADS

pytestmark = pytest.mark.asyncio(loop_scope="session")

FOUND = """(roots) => {
  const names = "a blockquote br button code del div em figure h3 h4 h5 h6 hr li ol p pre span strong " +
    "table tbody td th thead tr ul";
  const allowed = new Set(names.toUpperCase().split(" "));
  const leads = ({ name, value }) => name === "href" && /^(https?|mailto):/.test(value);
  const acts = (attribute) => /^on|^src|^style$|href$|action$/.test(attribute.name) && !leads(attribute);
  const inside = [...document.querySelectorAll(roots)].flatMap((root) => [...root.querySelectorAll("*")]);
  const isMaths = (element) => element.namespaceURI === "http://www.w3.org/1998/Math/MathML";
  const isBad = (each) => !(isMaths(each) || allowed.has(each.tagName)) || [...each.attributes].some(acts);
  return inside.filter(isBad).map((each) => each.outerHTML);
}"""
"""Elements that Markdown has no name for, and attributes that run or load something."""


async def test_there_are_a_hundred_of_them():
    assert len(set(PAYLOADS)) == 100


async def _stays_quiet(page: Page, roots: str) -> None:
    await page.wait_for_timeout(100)  # what a browser would load or run, it has begun to by then
    assert await page.evaluate("window.alarms") == []
    assert await page.evaluate(FOUND, roots) == []


async def test_each_of_them_alone_in_a_models_output(page: Page) -> None:
    await page.evaluate(
        """async (payloads) => {
          const { renderMarkdown } = await import(new URL("web/text/markdown.js", document.baseURI));
          for (const payload of payloads) {
            const place = document.createElement("div");
            place.className = "text alone";
            place.append(...renderMarkdown(payload));
            document.querySelector(".log").append(place);
          }
        }""",
        PAYLOADS,
    )
    assert await page.locator(".alone").count() == len(PAYLOADS)
    await _stays_quiet(page, ".alone")


@pytest.mark.parametrize("piece", [1000, 3])
async def test_all_of_them_as_a_model_streams_them(page: Page, world: World, piece: int) -> None:
    text = "\n\n".join(PAYLOADS)
    calls = [(payload, json.dumps({"x": payload})) for payload in PAYLOADS[::10]] + [("raw", text)]
    world.model.scripts[f"attack {piece}"] = Script(text, reasoning=text, calls=calls, piece=piece)
    await ask(page, f"attack {piece}")
    await expect(page.locator(".assistant .text")).to_contain_text("pwned()")
    for summary in await page.locator(".extras summary").all():
        await summary.click()
    await _stays_quiet(page, ".assistant .text")
    await ask(page, text)
    await _stays_quiet(page, ".user .text")


async def test_errors_and_chats_that_are_kept_say_them_and_run_nothing(page: Page, world: World) -> None:
    world.model.scripts["fail"] = Script(error=(400, {"error": {"message": PAYLOADS[0] + PAYLOADS[12]}}))
    for prompt in ("fail", PAYLOADS[12]):
        await page.locator("#new-chat").click()
        await ask(page, prompt)
    await page.reload()
    await page.get_by_role("button", name=PAYLOADS[12], exact=True).click()
    await _stays_quiet(page, ".text")
    assert PAYLOADS[12] in await page.locator("#chat-list").inner_text()


async def test_all_of_them_as_names_of_models(look: Look, world: World) -> None:
    worker = await start(world.model, *PAYLOADS)
    settings: dict[str, Any] = {"workers": (worker.url,), "access_log": False, "grace_period_seconds": 0.1}
    async with serving(Settings(**settings, poll_seconds=0.5, internal_token=TOKEN.encode())) as (url, _):
        page = (await look(url=url)).page
        await expect(page.locator("select option")).to_have_count(len(PAYLOADS))
        assert set(await page.locator("select option").all_text_contents()) >= {PAYLOADS[0], PAYLOADS[12]}
        await page.locator("select").select_option(PAYLOADS[12])
        await ask(page, "hello")
        assert await page.locator(".assistant .speaker").text_content() == PAYLOADS[12]
        await _stays_quiet(page, ".text, .speaker, #chat-list")
        await page.locator("#to-operators").click()
        await expect(page.locator("#key-dialog")).to_be_visible()
        await page.keyboard.type(TOKEN)
        await page.keyboard.press("Enter")
        await expect(page.locator("#models-rows tr")).to_have_count(len(PAYLOADS))
        await _stays_quiet(page, "#models-rows .name, #workers-rows td")
        await page.goto("about:blank")
    await worker.kill()


async def test_all_of_them_as_names_of_keys_and_causes(page: Page) -> None:
    key = {"models": PAYLOADS, "requests_per_minute": None, "tokens_per_minute": None, "max_concurrent": None}
    keys = [{**key, "name": payload, "expires": None, "operator": False} for payload in PAYLOADS]
    condition = {"type": "Ready", "status": "False", "reason": PAYLOADS[0], "message": PAYLOADS[12]}
    model = {"name": "m", "aliases": PAYLOADS, "task": PAYLOADS[0], "parent": PAYLOADS[1], "replicas": 1, "ready": 0}
    model |= {"held": 0, "in_flight": 0, "status": {"conditions": [condition]}}
    worker = {"url": PAYLOADS[12], "ready": False, "outstanding": 0, "left_out_seconds": 0, "silent": False}
    document = {"version": PAYLOADS[0], "stopping": False, "discovery": None, "keys": keys}
    document["models"] = [model | {"endpoints": [worker]}]
    await page.route("**/internal/overview", lambda route: route.fulfill(json=document))
    await page.evaluate(f"sessionStorage['fastchat.key'] = '{TOKEN}'")
    await page.locator("#to-operators").click()
    await expect(page.locator("#keys-rows tr")).to_have_count(len(PAYLOADS))
    await _stays_quiet(page, "#keys-rows .name, #keys-rows td, .cause")
    await page.unroute("**/internal/overview")


async def test_a_script_that_got_into_the_page_would_not_run(page: Page, visited: Visit) -> None:
    """What the policy alone keeps away, should the page ever make markup of a text."""
    tried = await page.evaluate("""() => {
      const refused = [];
      for (const [name, attempt] of Object.entries({
        html: () => { document.body.innerHTML = "<img src=x onerror=pwned()>"; },
        script: () => { document.createElement("script").text = "pwned()"; },
        source: () => { document.createElement("script").src = "//evil.example/x.js"; },
      })) {
        try { attempt(); } catch (error) { refused.push(name); }
      }
      return refused;
    }""")
    assert tried == ["html", "script", "source"]
    assert not any(kind == "pwned" for kind, _ in await page.evaluate("window.alarms"))
    await page.evaluate("window.alarms.length = 0")
    visited.problems.clear()  # the console has said that it was refused
