"""`fastchat up`: gateway and workers as processes of this machine, kept running until it is stopped."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

import httpx

from fastchat.api.routes import MODELS
from fastchat.local.overview import overview
from fastchat.local.plan import API_KEYS, Plan, Program, UpError
from fastchat.local.process import Child, RestartBackoff, describe_exit
from fastchat.local.progress import Stage, Terminal, View

PROBE_INTERVAL = 0.2
"""Seconds between two checks whether a process runs and is ready."""
GATEWAY_GRACE = 2.0
GRACE = 4.0
"""Seconds after SIGTERM until SIGKILL, for the gateway and for all together: requests in flight end meanwhile."""


class Supervisor:
    """Starts a program, and again whenever it ends, provided that it was ready once."""

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
        self._backoff = RestartBackoff()

    @property
    def view(self) -> View:
        return View(self._program.label, self.stage, self._detail)

    async def run(self, http: httpx.AsyncClient, on_line: Callable[[str, str], None]) -> NoReturn:
        """Run the program until this is cancelled; `on_line` is called with the label and each line of output.

        Raises:
            UpError: it ended before it was ever ready.
        """
        label = self._program.label
        while True:
            self.stage = "loading"
            self._backoff = self._backoff.started(time.monotonic())
            self.child = Child(self._program.argv, self._program.env)
            await self.child.listen(lambda line: on_line(label, line))
            code = await self._until_exit(self.child, http)
            if not self._backoff.was_ready:
                raise UpError(_last_words(label, code, await self.child.last_line()))
            self.stage = "down"
            self._backoff = self._backoff.exited(time.monotonic())
            self._terminal.line(f"{label} {describe_exit(code)}; it starts again in {self._backoff.delay:.0f} s")
            await asyncio.sleep(self._backoff.delay)

    async def _until_exit(self, child: Child, http: httpx.AsyncClient) -> int:
        while (code := child.code) is None:
            if self.stage == "loading" and await self._probe_once(http):
                if self._backoff.was_ready:
                    self._terminal.line(f"{self._program.label} is ready again")
                self.stage, self._detail, self._backoff = "ready", "", self._backoff.ready()
            await asyncio.sleep(PROBE_INTERVAL)
        return code

    async def _probe_once(self, http: httpx.AsyncClient) -> bool:
        """Whether it is ready; otherwise `detail` of its response is kept for the view."""
        try:
            response = await http.get(self._probe)
        except httpx.TransportError:
            return False
        with contextlib.suppress(ValueError, TypeError):
            self._detail = str(dict(response.json()).get("detail", ""))
        return self._is_ready(response)


def _last_words(label: str, code: int, last_line: str) -> str:
    """Why a program ended before it was ready: its last line of output, or how it ended where that says no more."""
    if code > 0 and last_line:
        return f"{label}: {last_line}"
    return f"{label} {describe_exit(code)} before it was ready" + (f"; its last line: {last_line}" if last_line else "")


async def run(plan: Plan, terminal: Terminal, show: Callable[[str], None], *, verbose: bool) -> None:
    """Run a plan's programs until SIGINT, SIGTERM or SIGHUP. No process is left running afterwards, errors included.

    `show` is called with the overview once all programs are ready; `verbose` shows their output.

    Raises:
        UpError: a program ended before it was ever ready.
    """
    gateway = Supervisor(plan.gateway, MODELS.path, lambda response: plan.served <= _listed(response), terminal)
    workers = [Supervisor(worker, "/ready", lambda response: response.is_success, terminal) for worker in plan.workers]
    supervisors = [gateway, *workers]
    stop, kill = _signals()

    def on_line(label: str, line: str) -> None:
        if verbose:
            terminal.line(f"[{label}] {line}")

    async with httpx.AsyncClient(timeout=1, trust_env=False, headers=_authorization(plan)) as http:
        tasks = [asyncio.create_task(supervisor.run(http, on_line)) for supervisor in supervisors]
        watch = asyncio.create_task(_watch(supervisors, terminal, lambda: show(overview(plan))))
        stopped = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
            terminal.end_progress()
            terminal.line("stopping")
        finally:
            for task in (watch, stopped, *tasks):
                task.cancel()
            await asyncio.gather(watch, stopped, *tasks, return_exceptions=True)
            await _stop([gateway], workers, kill)
    for task in done:
        task.result()


def _authorization(plan: Plan) -> dict[str, str]:
    """Headers for probes of a gateway with API keys: the first key of its environment, if there is one."""
    key = {**os.environ, **plan.gateway.env}.get(API_KEYS, "").split(",")[0].strip()
    return {"Authorization": f"Bearer {key}"} if key else {}


def _listed(response: httpx.Response) -> set[str]:
    """The names in a gateway's list of models; empty where the response is no such list."""
    try:
        return {card["id"] for card in response.json()["data"]}
    except (ValueError, LookupError, TypeError):
        return set()


def _signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Two events: the first signal sets the one to stop, the second the one to kill what has not stopped."""
    stop, kill = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup means to outlive the terminal
            asyncio.get_running_loop().add_signal_handler(number, lambda: (kill if stop.is_set() else stop).set())
    return stop, kill


async def _watch(supervisors: Sequence[Supervisor], terminal: Terminal, when_ready: Callable[[], None]) -> None:
    """Show progress until all processes are ready at the same time; then call `when_ready`."""
    while True:
        terminal.progress([supervisor.view for supervisor in supervisors])
        if all(supervisor.stage == "ready" for supervisor in supervisors):
            terminal.end_progress()
            return when_ready()
        await asyncio.sleep(PROBE_INTERVAL)


async def _stop(gateway: Sequence[Supervisor], workers: Sequence[Supervisor], kill: asyncio.Event) -> None:
    """SIGTERM for the gateway, then for the workers; SIGKILL for what is still there after the grace period."""
    began = time.monotonic()
    children = []
    for group, grace in ((gateway, GATEWAY_GRACE), (workers, GRACE)):
        started = [supervisor.child for supervisor in group if supervisor.child]
        for child in started:
            child.terminate()
        while any(child.code is None for child in started) and time.monotonic() < began + grace and not kill.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(kill.wait(), 0.05)
        children += started
    for child in children:
        child.kill()
