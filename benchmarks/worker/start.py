"""What a worker takes from the start of its process until it is ready, beside transformers and an older checkout.

    python benchmarks/worker/start.py [--rounds 5] [--against CHECKOUT] [--only older]
        [--model SOURCE] [--option=--dtype=bfloat16 …]

In each round every contender starts once, in turn; a figure is the median, a ratio that of the rounds' own ratios. CPU
is user and system time of all threads, memory the most that was resident. transformers loads tokenizer and model in
float32 and serves nothing. An older checkout's code runs with this one's packages. Fails where ours takes over half of
the older one's CPU time.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic, sleep

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from servers.process import free_port
from support.workers import SMOLLM2

ROOT = Path(__file__).parents[2]
MOST = 0.5
PATIENCE = 600  # seconds
TICKS = os.sysconf("SC_CLK_TCK")
PLAIN = """
import sys, time, transformers
from pathlib import Path
from fastchat_worker.sources.files import locate
files = locate(sys.argv[1], Path(sys.argv[2]), lambda _: None)
transformers.AutoTokenizer.from_pretrained(files.folder, **files.kwargs)
transformers.AutoModelForCausalLM.from_pretrained(files.folder, dtype="float32", **files.kwargs)
print("ready", flush=True)
time.sleep(600)
"""


@dataclass(frozen=True)
class Start:
    """Of one process. phases: seconds of the clock, as its log has them."""

    clock: float
    cpu: float
    mib: float
    phases: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Contender:
    """command: what starts it. ready: whether it is, by its log."""

    command: Sequence[str]
    ready: Callable[[str], bool]
    environ: dict[str, str] = field(default_factory=dict)

    def start(self, folder: Path) -> Start:
        """Starts it and waits until it is ready. Raises: RuntimeError where it ends instead."""
        log, began = folder / "log", monotonic()
        with log.open("w") as file:
            process = subprocess.Popen(self.command, env=os.environ | self.environ, stdout=file, stderr=file)
        try:
            while not self.ready(log.read_text()):
                if process.poll() is not None or monotonic() - began > PATIENCE:
                    raise RuntimeError(f"not ready: {log.read_text()[-2000:]}")
                sleep(0.02)
            return Start(monotonic() - began, *_used(process.pid), _phases(log.read_text()))
        finally:
            process.kill()
            process.wait()


def worker(checkout: Path, model: str, cache: Path, options: Sequence[str]) -> Contender:
    """The worker of a checkout; it is ready when it says so over HTTP."""
    port = free_port()
    command = [sys.executable, "-m", "fastchat_worker", "--port", str(port), "--model-name", "m", "--model-path", model]

    def ready(_: str) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/ready", timeout=5).is_success
        except httpx.TransportError:
            return False

    code = os.pathsep.join(str(checkout / part) for part in ("sdk", "images/worker"))
    return Contender([*command, "--cache-dir", str(cache), *options], ready, {"PYTHONPATH": code})


def contenders(wanted: argparse.Namespace, cache: Path) -> dict[str, Contender]:
    """Ours is the first."""
    plain = Contender([sys.executable, "-c", PLAIN, wanted.model, str(cache)], lambda log: "ready" in log)
    found = {"this": worker(ROOT, wanted.model, cache, wanted.option), "transformers": plain}
    if wanted.against:
        found["older"] = worker(wanted.against.resolve(), wanted.model, cache, wanted.option)
    return {name: each for name, each in found.items() if name in ("this", *(wanted.only or found))}


def report(name: str, starts: Sequence[Start], ours: Sequence[Start]) -> float:
    """Prints what one took and what ours is of that. Returns ours by its CPU time."""
    clock, cpu, mib = (median(getattr(each, of) for each in starts) for of in ("clock", "cpu", "mib"))
    shares = [
        median(getattr(own, of) / getattr(other, of) for own, other in zip(ours, starts, strict=True))
        for of in ("clock", "cpu", "mib")
    ]
    ratios = "" if starts is ours else "; ours is {:.2f}×, {:.2f}×, {:.2f}× of it".format(*shares)
    print(f"{name}: ready after {clock:.1f} s, {cpu:.2f} s of CPU, {mib:.0f} MiB{ratios}")
    phases = starts[0].phases
    if phases:
        print("  " + ", ".join(f"{phase} {median(each.phases[phase] for each in starts):.2f} s" for phase in phases))
    return shares[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--only", nargs="*", help="beside this one: transformers, older")
    parser.add_argument("--model", default=SMOLLM2)
    parser.add_argument("--option", action="append", default=[], help="of the workers")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = contenders(wanted, Path(folder) / "cache")
        starts: dict[str, list[Start]] = {name: [] for name in found}
        for _ in range(wanted.rounds):
            for name, contender in found.items():
                starts[name].append(contender.start(Path(folder)))
                print(f"{name}: {starts[name][-1]}", file=sys.stderr, flush=True)
    shares = {name: report(name, each, starts["this"]) for name, each in starts.items()}
    return int(shares.get("older", 0.0) > MOST)


def _used(pid: int) -> tuple[float, float]:
    """Seconds of CPU, and MiB at most."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    most = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return (int(fields[11]) + int(fields[12])) / TICKS, int(most[1]) / 1024 if most else 0.0


def _phases(log: str) -> dict[str, float]:
    line = re.search(r"ready after [\d.]+ s: (.*)", log)
    return {name: float(seconds) for name, seconds in re.findall(r"(\w+) ([\d.]+)", line[1])} if line else {}


if __name__ == "__main__":
    sys.exit(main())
