"""Runs in a pod: URL MODEL CLIENTS MAX_TOKENS RETRIES. Prints how many answers came, at the end what failed.

A stream that says that its worker was lost is `cut`, and not tried again.
"""

import asyncio
import json
import os
import sys
import time

import aiohttp


class Clients:
    def __init__(self, url: str, model: str, max_tokens: int, retries: int) -> None:
        self.retries = retries
        self.url = f"{url}/chat/completions"
        self.body = {
            "model": model,
            "max_tokens": max_tokens,
            "messages": [{"role": "user", "content": "Count to ten."}],
        }
        self.answers = 0
        self.failures: list[str] = []
        self.cut: list[float] = []
        self.longest = 0.0
        self.began = time.time()
        self.stopped = False

    async def run(self, number: int) -> None:
        """One client, with connections of its own."""
        timeout = aiohttp.ClientTimeout(total=300)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while not self.stopped:
                began = time.monotonic()
                problem = await self.ask(number, session)
                for _ in range(self.retries if problem else 0):
                    problem = problem and await self.ask(number, session)
                took = time.monotonic() - began
                self.longest = max(self.longest, took)
                self.answers += 1
                if problem:
                    self.failures.append(f"at {time.time() - self.began:.1f} s after {took:.1f} s: {problem}")

    async def ask(self, number: int, session: aiohttp.ClientSession) -> str:
        """What went wrong; empty: nothing."""
        try:
            return await (self.stream if number % 2 else self.complete)(session)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return repr(error)

    async def complete(self, session: aiohttp.ClientSession) -> str:
        async with session.post(self.url, json=self.body) as answer:
            text = await answer.text()
            whole = answer.status == 200 and json.loads(text)["choices"][0]["finish_reason"]
            return "" if whole else f"{answer.status} {text[:300]}"

    async def stream(self, session: aiohttp.ClientSession) -> str:
        async with session.post(self.url, json=self.body | {"stream": True}) as answer:
            text = await answer.text()
            if '"worker_lost"' in text:
                self.cut.append(time.time())
                return ""
            whole = answer.status == 200 and text.rstrip().endswith("data: [DONE]") and '"error"' not in text
            return "" if whole else f"{answer.status} …{text[-300:]}"


async def main() -> None:
    url, model, count, max_tokens, retries = sys.argv[1:]
    clients = Clients(url, model, int(max_tokens), int(retries))
    running = asyncio.gather(*[clients.run(number) for number in range(int(count))])
    while not running.done():
        print(clients.answers, flush=True)
        clients.stopped = os.path.exists("/tmp/stop")  # noqa: ASYNC240
        await asyncio.wait([running], timeout=1)
    seen = {"answers": clients.answers, "failures": clients.failures, "longest": round(clients.longest, 2)}
    seen["cut"] = clients.cut
    print(json.dumps(seen), flush=True)


asyncio.run(main())
