"""Runs in a pod: URL MODEL CLIENTS MAX_TOKENS RETRIES KINDS. Prints how many answers have come, and how many begun.

KINDS: `both`, half of the clients stream; `streams`, all do, and read every token that they may have. At the end it
prints what failed. A stream that says that its worker was lost is `cut`, and not tried again.
"""

import asyncio
import json
import os
import re
import sys
import time

import aiohttp

ERROR = re.compile(r'^(?:data: )?\{"error".*', re.M)


class Clients:
    def __init__(self, url: str, model: str, max_tokens: int, retries: int, kinds: str) -> None:
        self.retries = retries
        self.only_streams = kinds == "streams"
        self.url = f"{url}/chat/completions"
        self.body = {
            "model": model,
            "max_tokens": max_tokens,
            "messages": [{"role": "user", "content": "Count to ten."}],
        } | ({"ignore_eos": True} if self.only_streams else {})
        self.answers = self.begun = 0
        self.failures: list[str] = []
        self.cut: list[float] = []
        self.longest = self.pause = 0.0
        self.began = time.time()
        self.stopped = False

    async def run(self, number: int) -> None:
        """One client, with connections of its own."""
        timeout = aiohttp.ClientTimeout(total=900)
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
            return await (self.stream if number % 2 or self.only_streams else self.complete)(session)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return repr(error)

    async def complete(self, session: aiohttp.ClientSession) -> str:
        async with session.post(self.url, json=self.body) as answer:
            text = await answer.text()
            whole = answer.status == 200 and json.loads(text)["choices"][0]["finish_reason"]
            return "" if whole else f"{answer.status} {text[:300]}"

    async def stream(self, session: aiohttp.ClientSession) -> str:
        async with session.post(self.url, json=self.body | {"stream": True}) as answer:
            text = await self.read(answer)
            error = ERROR.search(text)  # and not the word, which a model may say
            if error and '"worker_lost"' in error[0]:
                self.cut.append(time.time())
                return ""
            whole = answer.status == 200 and text.rstrip().endswith("data: [DONE]") and not error
            return "" if whole else f"{answer.status} …{text[-300:]}"

    async def read(self, answer: aiohttp.ClientResponse) -> str:
        """All of a stream, as its events come."""
        parts, heard = [], 0.0
        async for part in answer.content.iter_any():
            parts.append(part)
            if b"data:" in part:
                now = time.monotonic()
                self.begun += not heard
                self.pause = max(self.pause, now - (heard or now))
                heard = now
        return b"".join(parts).decode()


async def main() -> None:
    url, model, count, max_tokens, retries, kinds = sys.argv[1:]
    clients = Clients(url, model, int(max_tokens), int(retries), kinds)
    running = asyncio.gather(*[clients.run(number) for number in range(int(count))])
    while not running.done():
        print(clients.answers, clients.begun, flush=True)
        clients.stopped = os.path.exists("/tmp/stop")  # noqa: ASYNC240
        await asyncio.wait([running], timeout=1)
    seen = {"answers": clients.answers, "failures": clients.failures, "longest": round(clients.longest, 2)}
    print(json.dumps(seen | {"pause": round(clients.pause, 2), "cut": clients.cut}), flush=True)


asyncio.run(main())
