"""Debian's Chromium, driven by playwright, and what a page does in it that it should not."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cluster.skips import or_skip
from cluster.tools import packages
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}
_WATCH = """
window.alarms = [];
for (const name of ["alert", "confirm", "prompt", "print", "open"]) {
  window[name] = (...given) => { window.alarms.push([name, String(given)]); };
}
window.pwned = (...given) => window.alarms.push(["pwned", String(given)]);
document.addEventListener("securitypolicyviolation", (event) => {
  window.alarms.push(["violation", event.violatedDirective + " " + event.blockedURI + " " + event.sample]);
});
"""
"""What a script would do that should never have run is noted; before any script of the page."""


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser without a window; skips where there is none and it cannot be installed."""
    with or_skip():
        packages.require(packages.BROWSER)
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        yield browser
        await browser.close()


@dataclass
class Visit:
    """A page that is watched: what it said on the console, where it sent requests, what went wrong."""

    page: Page
    url: str
    problems: list[str] = field(default_factory=list)
    """Errors on the console and exceptions; responses of 4xx and 5xx are not among them."""
    elsewhere: list[str] = field(default_factory=list)
    """Requests to other hosts."""

    async def alarms(self) -> list[list[str]]:
        """What was run that should not have been, and what the policy kept from being loaded."""
        found: list[list[str]] = await self.page.evaluate("window.alarms")
        return found

    async def check(self) -> None:
        """Fails where the page did what it should not."""
        assert (self.problems, self.elsewhere, await self.alarms()) == ([], [], [])

    def watch(self) -> None:
        host = urlsplit(self.url).netloc

        def is_ours(url: str) -> bool:
            return urlsplit(url).netloc == host or url.startswith(("blob:", "data:"))

        self.page.on("request", lambda request: None if is_ours(request.url) else self.elsewhere.append(request.url))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda said: self._note(said.type, said.text))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not text.startswith("Failed to load resource"):
            self.problems.append(f"{kind}: {text}")


async def visit(context: BrowserContext, url: str, path: str = "/") -> Visit:
    """A page of this context, loaded and watched."""
    await context.add_init_script(_WATCH)
    seen = Visit(await context.new_page(), url)
    seen.watch()
    await seen.page.goto(url + path)
    return seen
