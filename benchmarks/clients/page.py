"""The gateway's page in Chromium: its size, its first paint, its frames while 500 messages are scrolled and while four
models stream side by side; and what a gateway with the page serves beside one without.

    python benchmarks/clients/page.py [--loads 7] [--rounds 5] [--seconds 3] [--only page|gateway]

The page is asked for by a browser without a cache each time, of a gateway as it is in a checkout. The gateways are
compiled, as their image has them, and take turns; the ratio is the median of the rounds' own. Fails where a floor is
missed: 200 kB, 1 s to the first paint, 1 in 20 frames later than 50 ms, 3 % of the requests. Takes two minutes.
"""

import argparse
import asyncio
import gzip
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from playwright.async_api import Browser, BrowserContext, Page

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "tests")]

from gateway import FIGURES, KEY, gateway, median_ratio, one_round, simulators  # noqa: E402
from servers.process import Process  # noqa: E402
from support.clients.browser import DESKTOP, chromium  # noqa: E402

from fastchat_gateway.pages.web import read_files  # noqa: E402

MESSAGES = 500
TOKENS = 600
MESSAGE = """Here is a list, a table and some code:

1. **one** with `code` and $x^2$
2. *two*, see https://example.com/a

| a | b |
|---|--:|
| 1 | $\\frac{1}{2}$ |

```python
for number in range(10):
    print(number)
```
"""
FILL = """([count, text]) => {
  const messages = [...Array(count).keys()].map((at) => ({
    id: String(at), parent: at ? String(at - 1) : "", role: at % 2 ? "assistant" : "user", content: `${at}: ${text}`,
    model: "sim", usage: { prompt: 9, completion: 99 }, firstTokenMs: 9, durationMs: 999,
  }));
  const chosen = Object.fromEntries(messages.map(({ id, parent }) => [parent, id]));
  const columns = [{ model: "sim", tree: { messages, chosen } }];
  const chat = { id: "long", title: "Long", created: 1, updated: 1, columns };
  localStorage.setItem("fastchat.chat.long", JSON.stringify(chat));
}"""
FRAMES = """() => {
  window.frames_seen = [];
  let last = performance.now();
  const note = (now) => { window.frames_seen.push(now - last); last = now; requestAnimationFrame(note); };
  requestAnimationFrame(note);
}"""


def show_size() -> bool:
    bodies = [file.body for file in read_files().values()]
    whole, packed = (sum(map(len, each)) / 1000 for each in (bodies, map(gzip.compress, bodies)))
    print(f"{'size':26}{whole:.0f} kB in {len(bodies)} files, {packed:.0f} kB compressed", flush=True)
    return whole < 200


async def opened(browser: Browser) -> BrowserContext:
    """A browser that has nothing of the page but the key."""
    context = await browser.new_context(viewport=DESKTOP)
    await context.add_init_script(f"sessionStorage['fastchat.key'] = '{KEY}'")
    return context


async def show_first_paint(browser: Browser, url: str, loads: int) -> bool:
    painted, listed = [], []
    for _ in range(loads):
        context = await opened(browser)
        page = await context.new_page()
        await page.goto(url)
        await page.locator("select option").first.wait_for(state="attached")
        listed.append(await page.evaluate("performance.now()"))
        painted.append(await page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        await context.close()
    print(f"{'first paint':26}{spread(painted)} ms, models listed {spread(listed)} ms", flush=True)
    return statistics.median(painted) < 1000


async def show_scrolling(page: Page) -> bool:
    await page.evaluate(FILL, [MESSAGES, MESSAGE])
    await page.reload()
    begun = await page.evaluate("performance.now()")
    await page.get_by_role("button", name="Long", exact=True).click()
    await page.locator(f'[data-id="{MESSAGES - 1}"]').wait_for()
    opened = await page.evaluate("performance.now()") - begun
    await page.locator(".log").hover()
    await page.evaluate(FRAMES)
    for _ in range(150):
        await page.mouse.wheel(0, -900)
        await page.wait_for_timeout(16)
    return show_frames(
        f"{MESSAGES} messages scrolled", await page.evaluate("frames_seen"), f"opened in {opened:.0f} ms"
    )


async def show_streams(page: Page) -> bool:
    await page.locator("#new-chat").click()
    for _ in range(3):
        await page.locator("#compare-button").click()
    await page.locator("#composer-input").fill("go")
    await page.evaluate(FRAMES)
    await page.keyboard.press("Enter")
    await page.locator("#stop-button").wait_for()
    await page.locator("#send-button").wait_for(timeout=120_000)
    return show_frames("four streams side by side", await page.evaluate("frames_seen"), f"{TOKENS} events each")


def show_frames(name: str, frames: Sequence[float], about: str) -> bool:
    late = sum(each > 50 for each in frames) / len(frames)
    p95 = sorted(frames)[int(len(frames) * 0.95)]
    figures = f"median {statistics.median(frames):.1f} ms, p95 {p95:.1f}, longest {max(frames):.0f}"
    print(f"{name:26}{len(frames)} frames: {figures}, later than 50 ms: {late:.1%}; {about}", flush=True)
    return late < 0.05


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


async def in_a_browser(url: str, loads: int) -> list[bool]:
    async with chromium() as browser:
        found = [await show_first_paint(browser, url, loads)]
        page = await (await opened(browser)).new_page()
        page.set_default_timeout(60_000)
        await page.goto(url)
        await page.locator("select option").first.wait_for(state="attached")
        return [*found, await show_scrolling(page), await show_streams(page)]


def show_gateways(workers: Sequence[Process], rounds: int, seconds: float) -> bool:
    """Requests per CPU-second with the page, of those without."""
    with gateway(workers) as with_page, gateway(workers, "--no-page") as without:
        turns = [[one_round(FIGURES[0], each, seconds).value for each in (with_page, without)] for _ in range(rounds)]
    ratio = median_ratio([one for one, _ in turns], [other for _, other in turns])
    print(f"{FIGURES[0].title}: with the page {ratio:.3f} of those without it", flush=True)
    return ratio > 0.97


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loads", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--only", choices=("page", "gateway"))
    args = parser.parse_args()
    reached = [show_size()]
    if args.only != "gateway":
        reached += measure_page(args.loads)
    if args.only != "page":
        with simulators(2) as workers:
            reached.append(show_gateways(workers, args.rounds, args.seconds))
    if not all(reached):
        sys.exit("a floor was missed")


def measure_page(loads: int) -> list[bool]:
    with simulators(1, f"--tokens={TOKENS}", "--interval=0.01") as workers, gateway(workers, as_image=False) as process:
        return asyncio.run(in_a_browser(process.url, loads))


if __name__ == "__main__":
    main()
