"""Serves two models, has clients ask them while workers are killed, and draws what Prometheus saw."""

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from support.gateways import GatewayProcess
from support.monitoring.prometheus import Prometheus, Target
from support.workers import MINILM, SMOLLM2, WorkerProcess

from pages.dashboard.picture import draw
from pages.dashboard.traffic import KEYS, SECONDS, Fleet, traffic

SCRAPED = 2.0
"""Seconds from the last request until all is scraped."""


def main(file: Path) -> None:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        fleet = stack.enter_context(started(folder))
        prometheus = Prometheus(folder / "prometheus", "groups: []\n")
        stack.callback(prometheus.stop)
        prometheus.scrape(targets(fleet))
        asyncio.run(traffic(fleet))
        draw(prometheus, SECONDS, file)


@contextmanager
def started(folder: Path) -> Iterator[Fleet]:
    """Two workers of a language model and one of an encoder behind a gateway with keys."""
    for part in ("keys", "prometheus", "chat-0", "chat-1", "embed"):
        (folder / part).mkdir()
    for name, key in KEYS.items():
        (folder / "keys" / name).write_text(json.dumps(key.entry))
    chat = ["--model-name=smollm2", f"--model-path={SMOLLM2}", "--max-batch-size=4", "--max-model-len=1024"]
    embed = ["--model-name=all-minilm-l6-v2", f"--model-path={MINILM}", "--task=embed"]
    fleet = Fleet([WorkerProcess(folder / f"chat-{number}", *chat) for number in range(2)], chat, folder, embed)
    fleet.start_encoder()
    try:
        for worker in (*fleet.chat, fleet.encoder):
            worker.wait_ready()
        urls = [f"--worker={worker.url}" for worker in (*fleet.chat, fleet.encoder)]
        gateway = GatewayProcess(*urls, f"--keys-dir={folder / 'keys'}", "--open-metrics")
        try:
            asyncio.run(gateway.ready())
            fleet.url = gateway.url
            yield fleet
        finally:
            gateway.popen.kill()
            gateway.popen.wait()
    finally:
        for worker in (*fleet.chat, fleet.encoder):
            worker.stop()


def targets(fleet: Fleet) -> list[Target]:
    """With the labels that the chart's PodMonitors give them."""
    port = int(fleet.url.rpartition(":")[2])
    found = [Target(port, {"namespace": "team-a", "pod": "fastchat-gateway-0"})]
    for number, worker in enumerate(fleet.chat):
        labels = {"namespace": "team-a", "pod": f"smollm2-{number}", "model_deployment": "smollm2"}
        found.append(Target(worker.port, labels))
    labels = {"namespace": "team-a", "pod": "all-minilm-l6-v2-0", "model_deployment": "all-minilm-l6-v2"}
    return [*found, Target(fleet.encoder.port, labels)]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
