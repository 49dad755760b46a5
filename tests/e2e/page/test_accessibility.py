"""What axe-core finds: https://github.com/dequelabs/axe-core"""

from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.async_api import Page, expect
from support.clients.browser import DESKTOP, PHONE

from .conftest import TOKEN, Look, World, ask
from .model import Script

pytestmark = pytest.mark.asyncio(loop_scope="session")

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
RICH = """# Heading

Text with **bold**, `code`, a [link](https://example.com) and $x^2$.

| a | b |
|---|--:|
| 1 | 2 |

> Quote

1. one
   - two

```python
print("a line that is long enough to be scrolled sideways on a phone, and on a desktop in two columns as well, so")
```

$$\\frac{a}{b}$$
"""


async def violations(page: Page) -> list[str]:
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE)
    found: dict[str, Any] = await page.evaluate("axe.run({resultTypes: ['violations']})")
    return [f"{each['id']}: {[node['html'][:120] for node in each['nodes'][:3]]}" for each in found["violations"]]


@pytest.mark.parametrize(("scheme", "size"), [("light", DESKTOP), ("dark", DESKTOP), ("light", PHONE)])
async def test_axe_finds_no_violation_in_the_chat_and_the_operators_view(
    look: Look, world: World, scheme: str, size: dict[str, int]
) -> None:
    world.model.scripts["rich"] = Script(RICH, reasoning="Because.", calls=[("f", '{"a": 1}')])
    world.model.scripts["bad"] = Script(error=(400, {"error": {"message": "No."}}))
    page = (await look(viewport=size, color_scheme=scheme)).page
    await page.locator("select option").first.wait_for(state="attached")
    await ask(page, "bad")
    await page.locator("#compare-button").click()
    await ask(page, "rich")
    await page.get_by_label("Regenerate response").last.click()
    await page.get_by_label("Previous version of the response").wait_for()
    for summary in await page.locator(".extras summary").all():
        await summary.click()
    await page.locator(".votes").wait_for()
    assert await violations(page) == []
    await page.evaluate(f"sessionStorage['fastchat.key'] = '{TOKEN}'")
    await page.locator("#to-operators").click()
    await page.locator("#models-rows .sparkline polyline").first.wait_for(state="attached")
    assert await violations(page) == []


async def test_axe_finds_no_violation_in_an_empty_chat_and_the_dialogs(page: Page) -> None:
    assert await violations(page) == []
    for name in ("settings", "key"):
        await page.locator(f"#{name}-button").click()
        assert await violations(page) == []
        await page.keyboard.press("Escape")


async def test_a_phone_shows_all_of_it_without_scrolling_sideways(look: Look, world: World) -> None:
    world.model.scripts["wide"] = Script(
        "x" * 500 + "\n\n```\n" + "y" * 500 + "\n```\n\n|" + "a|" * 40 + "\n|" + "-|" * 40
    )
    page = (await look(viewport=PHONE, has_touch=True, is_mobile=True)).page
    await page.locator("select option").first.wait_for(state="attached")
    await ask(page, "wide")
    assert await page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    await page.locator("#sidebar-toggle").tap()
    await expect(page.locator(".chat-title")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator("#sidebar")).to_be_hidden()


async def test_nothing_moves_for_whoever_wants_no_motion(look: Look) -> None:
    page = (await look(reduced_motion="reduce")).page
    moving = "[...document.querySelectorAll('*')].filter(n => getComputedStyle(n).transitionDuration !== '0s').length"
    assert await page.evaluate(moving) == 0
