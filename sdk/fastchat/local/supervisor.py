"""`fastchat up`: gateway and workers as processes of this machine, kept running until it is stopped."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

import httpx

from fastchat.local.plan import API_KEYS, Plan, Program, UpError
from fastchat.local.process import Child, Life, describe_exit
from fastchat.local.progress import Stage, Terminal, View, table

LOOK_EVERY = 0.2
"""Seconds between two looks at a process: does it live, is it ready?"""
GATEWAY_GRACE = 2.0
GRACE = 4.0
"""Seconds that the gateway, and all together, have for what is in flight when they are stopped."""


class Keeper:
    """Starts a program, and again whenever it dies, if it was ready once."""

    def __init__(
        self, program: Program, probe: str, is_ready: Callable[[httpx.Response], bool], terminal: Terminal
    ) -> None:
        self.stage: Stage = "loading"
        self.child: Child | None = None
        self._program = program
        self._probe = program.url + probe
        self._is_ready = is_ready
        self._terminal = terminal
        self._detail = ""
        self._life = Life()

    @property
    def view(self) -> View:
        return View(self._program.label, self.stage, self._detail)

    async def run(self, http: httpx.AsyncClient, on_line: Callable[[str, str], None]) -> NoReturn:
        """Until it is cancelled; `on_line` gets label and line of what the program says. Raises UpError."""
        label = self._program.label
        while True:
            self.stage = "loading"
            self._life = self._life.started(time.monotonic())
            self.child = Child(self._program.argv, self._program.env)
            await self.child.listen(lambda line: on_line(label, line))
            code = await self._until_exit(self.child, http)
            if not self._life.was_ready:
                raise UpError(_last_words(label, code, await self.child.last_line()))
            self.stage = "down"
            self._life = self._life.died(time.monotonic())
            self._terminal.line(f"{label} {describe_exit(code)}; it starts again in {self._life.delay:.0f} s")
            await asyncio.sleep(self._life.delay)

    async def _until_exit(self, child: Child, http: httpx.AsyncClient) -> int:
        while (code := child.code) is None:
            if self.stage == "loading" and await self._look(http):
                if self._life.was_ready:
                    self._terminal.line(f"{self._program.label} is ready again")
                self.stage, self._detail, self._life = "ready", "", self._life.ready()
            await asyncio.sleep(LOOK_EVERY)
        return code

    async def _look(self, http: httpx.AsyncClient) -> bool:
        """Is it ready? If not, remember what it says it is doing."""
        try:
            answer = await http.get(self._probe)
        except httpx.TransportError:
            return False
        with contextlib.suppress(ValueError, TypeError):
            self._detail = str(dict(answer.json()).get("detail", ""))
        return self._is_ready(answer)


def _last_words(label: str, code: int, last_line: str) -> str:
    """What it said last, which is why it ended, unless it was killed or said nothing."""
    if code > 0 and last_line:
        return f"{label}: {last_line}"
    return f"{label} {describe_exit(code)} before it was ready" + (f"; its last line: {last_line}" if last_line else "")


async def run(plan: Plan, terminal: Terminal, show: Callable[[str], None], *, verbose: bool) -> None:
    """Keep the plan running until SIGINT, SIGTERM or SIGHUP, then stop it; `show` gets the table once all are ready.

    Raises UpError; then too, nothing is left running.
    """
    gateway = Keeper(plan.gateway, "/v1/models", lambda answer: plan.served <= _listed(answer), terminal)
    workers = [Keeper(worker, "/ready", lambda answer: answer.is_success, terminal) for worker in plan.workers]
    keepers = [gateway, *workers]
    stop, hurry = _signals()

    def on_line(label: str, line: str) -> None:
        if verbose:
            terminal.line(f"[{label}] {line}")

    async with httpx.AsyncClient(timeout=1, trust_env=False, headers=_authorization(plan)) as http:
        tasks = [asyncio.create_task(keeper.run(http, on_line)) for keeper in keepers]
        watch = asyncio.create_task(_watch(keepers, terminal, lambda: show(overview(plan))))
        stopped = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
            terminal.end_progress()
            terminal.line("stopping")
        finally:
            for task in (watch, stopped, *tasks):
                task.cancel()
            await asyncio.gather(watch, stopped, *tasks, return_exceptions=True)
            await _stop([gateway], workers, hurry)
    for task in done:
        task.result()


def _authorization(plan: Plan) -> dict[str, str]:
    """For a gateway that asks for an API key: the first one in its environment, which is this shell's or the plan's."""
    key = {**os.environ, **plan.gateway.env}.get(API_KEYS, "").split(",")[0].strip()
    return {"Authorization": f"Bearer {key}"} if key else {}


def _listed(answer: httpx.Response) -> set[str]:
    """The models that a gateway lists."""
    try:
        return {card["id"] for card in answer.json()["data"]}
    except (ValueError, LookupError, TypeError):
        return set()


def _signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Set by the first signal to stop, and by the second."""
    stop, hurry = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup means to outlive the terminal
            asyncio.get_running_loop().add_signal_handler(number, lambda: (hurry if stop.is_set() else stop).set())
    return stop, hurry


async def _watch(keepers: Sequence[Keeper], terminal: Terminal, when_ready: Callable[[], None]) -> None:
    """Show how far the processes are, until all are ready at once."""
    while True:
        terminal.progress([keeper.view for keeper in keepers])
        if all(keeper.stage == "ready" for keeper in keepers):
            terminal.end_progress()
            return when_ready()
        await asyncio.sleep(LOOK_EVERY)


async def _stop(gateway: Sequence[Keeper], workers: Sequence[Keeper], hurry: asyncio.Event) -> None:
    """SIGTERM for the gateway, then for the workers; SIGKILL for what is still there after the grace period."""
    began = time.monotonic()
    children = []
    for group, grace in ((gateway, GATEWAY_GRACE), (workers, GRACE)):
        started = [keeper.child for keeper in group if keeper.child]
        for child in started:
            child.terminate()
        while any(child.code is None for child in started) and time.monotonic() < began + grace and not hurry.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(hurry.wait(), 0.05)
        children += started
    for child in children:
        child.kill()


def overview(plan: Plan) -> str:
    """What is served, where, and a line to try it with."""
    rows = [
        (
            deployment.name,
            ", ".join(deployment.spec.model.aliases) or "-",
            deployment.spec.model.task,
            str(deployment.spec.replicas),
            str(deployment.spec.model.source),
        )
        for deployment in plan.deployments
    ]
    listing = table(("MODEL", "ALIASES", "TASK", "REPLICAS", "SOURCE"), rows)
    return f"{listing}\n\nServing on {plan.gateway.url}/v1 – Ctrl-C stops it. Try:\n  {_curl(plan)}"


def _curl(plan: Plan) -> str:
    deployment = next(deployment for deployment in plan.deployments if deployment.spec.replicas)
    if deployment.spec.model.task == "Embed":
        route, ask = "embeddings", '"input": "Hello!"'
    else:
        route, ask = "chat/completions", '"messages": [{"role": "user", "content": "Hello!"}]'
    key = '-H "Authorization: Bearer $KEY" ' if API_KEYS in plan.gateway.env else ""
    return (
        f"curl {plan.gateway.url}/v1/{route} {key}-H 'Content-Type: application/json' "
        f'-d \'{{"model": "{deployment.name}", {ask}}}\''
    )
