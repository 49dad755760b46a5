"""Our gateway beside others and a bare proxy, in turn, before the same two simulated workers.

    python benchmarks/gateway.py [--rounds 3] [--seconds 3] [--json FILE]

Ours has all on: API keys with every limit, metrics, access log (to /dev/null), holds and retries. It is measured as its
image has it, compiled, and as it is in a checkout. CPU is user and system time of all threads of the server. Each ratio
is the median of the rounds' own ratios, because a machine's pace changes from round to round. Fails where a floor is
missed. Takes about five minutes.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import yardsticks
from results.charts import Chart, Panel, Results, add_option, write
from servers import compiled
from servers.process import Process, free_port, started

HERE = Path(__file__).parent
PATH = "/v1/chat/completions"
KEY = "fck_" + "k" * 43
DIRECT, BARE, RUST = "no gateway", "bare proxy", yardsticks.VLLM_ROUTER.name
OTHERS = (BARE, *(other.name for other in yardsticks.ALL))
OURS, SOURCE = "fastchat gateway", "… not compiled"


@dataclass(frozen=True)
class Figure:
    """Something measured of each server, and how ours must compare."""

    title: str
    load: tuple[str, ...]
    """Arguments of load.py."""
    taken: Literal["answers", "p50_ms", "p95_ms"]
    """Of what load.py says; answers are taken per CPU-second."""
    floor: float
    """Least ratio of answers, largest ratio of milliseconds, to vllm-router's."""
    lead: float | None = None
    """Ratio of answers to those of the best of all others that is the goal, not a floor."""

    @property
    def counts(self) -> bool:
        return self.taken == "answers"

    @property
    def servers(self) -> tuple[str, ...]:
        return (*(() if self.counts else (DIRECT,)), *OTHERS, OURS, SOURCE)

    def reached(self, ratio: float) -> bool:
        return ratio >= self.floor if self.counts else ratio <= self.floor


FIGURES = (
    Figure("requests per CPU-second, 32 clients", ("--clients=32",), "answers", 1.5, lead=1.5),
    Figure("streams of 32 tokens per CPU-second, 32 clients", ("--clients=32", "--stream"), "answers", 2.5, lead=1.5),
    Figure("bodies of 400 kB per CPU-second, 8 clients", ("--clients=8", "--body=400000"), "answers", 1.0, lead=1.5),
    Figure("p50 in ms, 1 client", ("--clients=1",), "p50_ms", 1.0),
    Figure("p95 in ms, 200 requests a second", ("--rate=200",), "p95_ms", 1.0),
)


@dataclass(frozen=True)
class Round:
    """One turn of a server."""

    value: float
    busy: float
    """Share of a core that the load generator used."""


# --------------------------------------------------------------------------------------------------------------------
# Servers
# --------------------------------------------------------------------------------------------------------------------


@contextmanager
def simulators(count: int, *options: str) -> Iterator[list[Process]]:
    """Simulated workers."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(started(port, sys.executable, str(HERE / "simulator.py"), str(port), *options))
            for port in [free_port() for _ in range(count)]
        ]


@contextmanager
def gateway(workers: Sequence[Process], *options: str, as_image: bool = True) -> Iterator[Process]:
    """Ours, with an API key that has every limit."""
    environ = {"PYTHONPATH": compiled.tree()} if as_image else {}
    port = free_port()
    with tempfile.TemporaryDirectory() as keys:
        (Path(keys) / "bench").write_text(json.dumps(unreachable_limits(KEY)))
        command = ["-m", "fastchat_gateway", "--host=127.0.0.1", f"--port={port}", f"--keys-dir={keys}", *options]
        for worker in workers:
            command += ["--worker", worker.url]
        with started(port, sys.executable, *command, **environ) as process:
            wait_until_it_serves(process)
            yield process


def from_source(workers: Sequence[Process]) -> AbstractContextManager[Process]:
    return gateway(workers, as_image=False)


def unreachable_limits(key: str) -> dict[str, Any]:
    digest = hashlib.sha256(key.encode()).hexdigest()
    limits = dict.fromkeys(("requestsPerMinute", "tokensPerMinute", "maxConcurrent"), 10**9)
    return {"sha256": digest, "models": ["sim"], "expires": "2099-01-01T00:00:00Z", **limits}


@contextmanager
def bare_proxy(workers: Sequence[Process]) -> Iterator[Process]:
    port = free_port()
    options = ["--app-dir", str(HERE), "--loop", "uvloop", "--no-access-log", "--port", str(port)]
    urls = ",".join(worker.url for worker in workers)
    with started(port, sys.executable, "-m", "uvicorn", *options, "servers.bare_proxy:app", WORKERS=urls) as process:
        wait_until_it_serves(process)
        yield process


@contextmanager
def yardstick(other: yardsticks.Yardstick, workers: Sequence[Process]) -> Iterator[Process]:
    with other.before(workers) as process:
        wait_until_it_serves(process)
        yield process


def wait_until_it_serves(process: Process) -> None:
    """It listens already, but may not have found its workers yet."""
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    body = b'{"model":"sim","messages":[{"role":"user","content":"x"}]}'
    request = urllib.request.Request(process.url + PATH, body, headers)
    until = time.monotonic() + 10
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


# --------------------------------------------------------------------------------------------------------------------
# Measuring
# --------------------------------------------------------------------------------------------------------------------


def load(process: Process, *options: str) -> dict[str, float]:
    """What load.py says; every request must have been answered."""
    command = [sys.executable, str(HERE / "load.py"), process.url + PATH, f"--key={KEY}", *options]
    out = subprocess.run(command, check=True, capture_output=True, timeout=120)
    result: dict[str, float] = json.loads(out.stdout)
    if result["failures"]:
        raise RuntimeError(f"{' '.join(command)}: {result}")
    return result


def one_round(figure: Figure, process: Process, seconds: float) -> Round:
    before = process.cpu_seconds()
    result = load(process, *figure.load, f"--seconds={seconds}")
    cpu = process.cpu_seconds() - before
    return Round(result["answers"] / cpu if figure.counts else result[figure.taken], result["busy"])


def take_turns(figure: Figure, servers: dict[str, Process], rounds: int, seconds: float) -> dict[str, list[Round]]:
    turns: dict[str, list[Round]] = {name: [] for name in figure.servers}
    for _ in range(rounds):
        for name in figure.servers:
            turns[name].append(one_round(figure, servers[name], seconds))
    return turns


def show(figure: Figure, turns: dict[str, list[Round]]) -> bool:
    """Print a figure's table; whether its floor was reached."""
    found = {name: [turn.value for turn in rounds] for name, rounds in turns.items()}
    form: Callable[[float], str] = "{:.0f}".format if figure.counts else "{:.2f}".format
    print(f"\n{figure.title}")
    for name, own in found.items():
        middle = statistics.median(own)
        added = "" if figure.counts else f" (added {middle - statistics.median(found[DIRECT]):.2f})"
        print(
            f"  {name:20}{form(middle):>8}{added}   {median_ratio(own, found[RUST]):.2f} of vllm-router's"
            f"   rounds: {' '.join(map(form, own))}"
            f"   load generator at most {max(turn.busy for turn in turns[name]):.0%} busy"
        )
    ratios = {name: median_ratio(found[OURS], found[name]) for name in OTHERS}
    word, reached = "at least" if figure.counts else "at most", figure.reached(ratios[RUST])
    print(f"  floor, {word} {figure.floor:g} of vllm-router's: {'reached' if reached else 'MISSED'}", flush=True)
    if figure.lead is not None:
        best = min(ratios, key=ratios.__getitem__)
        leads = "reached" if ratios[best] >= figure.lead else "missed"
        print(
            f"  goal, at least {figure.lead:g} of the best other's: {leads}, {ratios[best]:.2f} of {best}'s", flush=True
        )
    return reached


def median_ratio(own: list[float], yardstick: list[float]) -> float:
    return statistics.median(one / other for one, other in zip(own, yardstick, strict=True))


def charts(turns: dict[Figure, dict[str, list[Round]]]) -> list[Chart]:
    """One of what counts answers, one of milliseconds."""
    title, panels = "Gateways before two simulated workers", {True: [], False: []}
    for figure, rounds in turns.items():
        panels[figure.counts].append(panel(figure, rounds))
    throughput = Chart("gateway-throughput", title, "answers per CPU-second", OURS, panels[True])
    latency = Chart("gateway-latency", title, "milliseconds to the answer", OURS, panels[False], less_is_better=True)
    return [chart for chart in (throughput, latency) if chart.panels]


def panel(figure: Figure, turns: dict[str, list[Round]]) -> Panel:
    """Medians, and the ratios to vllm-router and, where answers are counted, to the best other."""
    found = {name: [turn.value for turn in rounds] for name, rounds in turns.items()}
    ratios = {name: median_ratio(found[OURS], found[name]) for name in OTHERS}
    best = min(ratios, key=ratios.__getitem__)
    named = {RUST, best} if figure.counts else {RUST}
    bars = {name: statistics.median(values) for name, values in found.items()}
    return Panel(figure.title, bars, {name: ratio for name, ratio in ratios.items() if name in named})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--only", default="", help="figures whose title has this in it")
    add_option(parser)
    args = parser.parse_args()
    with ExitStack() as stack:
        workers = stack.enter_context(simulators(2))
        servers = {DIRECT: workers[0]}
        for name, server in ((BARE, bare_proxy), (OURS, gateway), (SOURCE, from_source)):
            servers[name] = stack.enter_context(server(workers))
        for other in yardsticks.ALL:
            servers[other.name] = stack.enter_context(yardstick(other, workers))
        figures = [one for one in FIGURES if args.only in one.title]
        turns, reached = {}, []
        for one in figures:
            turns[one] = take_turns(one, servers, args.rounds, args.seconds)
            reached.append(show(one, turns[one]))
    measured = f"{os.cpu_count()} cores; {args.rounds} rounds of {args.seconds:g} s in turn, {date.today()}"
    write(args.json, Results(measured, charts(turns)))
    if not all(reached):
        sys.exit("a floor was missed")


if __name__ == "__main__":
    main()
