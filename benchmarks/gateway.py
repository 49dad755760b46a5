"""Requests per CPU-second of the gateway and of a bare proxy, in turn, before the same two simulated workers.

    python benchmarks/gateway.py [--rounds 3] [--seconds 3]

Metrics are on; the access log is on in one of the variants and written to /dev/null. CPU is user and system time of the
gateway's process. Takes about a minute; ratios are what to compare between machines.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

HERE = Path(__file__).parent
PATH = "/v1/chat/completions"
YARDSTICK = "bare proxy"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def started(port: int, *command: str, **environ: str) -> Iterator[int]:
    """A process, by its id, from when it listens until the end of the block."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env={**os.environ, **environ}, stdout=quiet, stderr=quiet)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        else:
            raise RuntimeError(f"did not start: {command}")
        yield process.pid
    finally:
        process.kill()
        process.wait()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(port: int, seconds: float, *, stream: bool) -> dict[str, float]:
    command = [sys.executable, str(HERE / "load.py"), f"http://127.0.0.1:{port}{PATH}", "--seconds", str(seconds)]
    out = subprocess.run([*command, *(["--stream"] if stream else [])], check=True, capture_output=True, timeout=60)
    result: dict[str, float] = json.loads(out.stdout)
    return result


def start_all(stack: ExitStack) -> dict[str, tuple[int, int]]:
    """Variant → its port and process id."""
    workers = [free_port(), free_port()]
    for port in workers:
        stack.enter_context(started(port, sys.executable, str(HERE / "simulator.py"), str(port)))
    urls = ",".join(f"http://127.0.0.1:{port}" for port in workers)
    bare = ("-m", "uvicorn", "--app-dir", str(HERE), "bare_proxy:app", "--loop", "uvloop", "--no-access-log", "--port")
    ours = ("-m", "fastchat_gateway", "--host", "127.0.0.1", "--port")
    variants = {
        YARDSTICK: (bare, ()),
        "gateway, no access log": (ours, ("--no-access-log",)),
        "gateway, access log": (ours, ()),
    }
    running = {}
    for name, (command, options) in variants.items():
        port = free_port()
        pid = started(port, sys.executable, *command, str(port), *options, WORKERS=urls, FASTCHAT_WORKERS=urls)
        running[name] = port, stack.enter_context(pid)
    return running


def compare(running: dict[str, tuple[int, int]], rounds: int, seconds: float, *, stream: bool) -> None:
    """Run the variants in turn, print the medians."""
    rates: dict[str, list[float]] = {name: [] for name in running}
    times: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(rounds):
        for name, (port, pid) in running.items():
            before = cpu_seconds(pid)
            result = load(port, seconds, stream=stream)
            if result["failures"]:
                raise RuntimeError(f"{name}: {result}")
            rates[name].append(result["answers"] / (cpu_seconds(pid) - before))
            times[name].append(result["p50_ms"])
    print(f"\n{'streams of 32 tokens' if stream else 'not streamed'}, 32 clients, {rounds} rounds of {seconds:g} s")
    for name, rate in rates.items():
        middle = statistics.median(rate)
        ratio = statistics.median(one / yardstick for one, yardstick in zip(rate, rates[YARDSTICK], strict=True))
        all_of_them = " ".join(f"{one:.0f}" for one in rate)
        print(
            f"  {name:24}{middle:7.0f} per CPU-second ({all_of_them}), {ratio:.2f} of the yardstick, "
            f"p50 {statistics.median(times[name]):.1f} ms"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    args = parser.parse_args()
    with ExitStack() as stack:
        running = start_all(stack)
        for port, _ in running.values():
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{PATH}", data=b'{"model":"sim"}', timeout=10):
                pass
        for stream in (False, True):
            compare(running, args.rounds, args.seconds, stream=stream)


if __name__ == "__main__":
    main()
