"""Constant traffic while everything changes, from a pod, so that it goes on while the API server is away."""

import json
from pathlib import Path
from typing import Any, Literal

from product.namespace import Namespace

_CLIENTS = Path(__file__).with_name("clients.py")


class Traffic:
    """Clients that call a model without a pause; a failed call is made `retries` times more.

    kinds: `both`, half of them stream; `streams`, all do, and each stream has `max_tokens`.
    """

    def __init__(
        self,
        namespace: Namespace,
        model: str,
        *,
        clients: int = 8,
        max_tokens: int = 8,
        retries: int = 0,
        kinds: Literal["both", "streams"] = "both",
    ) -> None:
        self._namespace = namespace
        self._pod = f"traffic-{model}"
        script = _CLIENTS.read_text()
        numbers = map(str, (clients, max_tokens, retries))
        namespace.start(self._pod, "python", "-c", script, namespace.url, model, *numbers, kinds)
        come = self._begun if kinds == "streams" else self._answers
        namespace.wait(come, lambda count: count >= clients, 300)  # a scheduler may still be catching up

    def __enter__(self) -> "Traffic":
        return self

    def __exit__(self, *_: object) -> None:
        self._namespace.kubectl("delete", "pod", self._pod, "--wait=false", "--ignore-not-found")

    def wait_for(self, more: int, seconds: float = 300) -> None:
        """Until so many more answers have come."""
        aim = self._answers() + more
        self._namespace.wait(self._answers, lambda answers: answers >= aim, seconds)

    def stop(self, seconds: float = 180) -> dict[str, Any]:
        """End all clients after the answers they wait for; what they saw.

        How many answers, which failures, when (Unix time) a stream was cut with its worker; in s the longest answer and
        the longest pause of a stream that had begun.
        """
        self._namespace.kubectl("exec", self._pod, "--", "touch", "/tmp/stop")
        phase = "jsonpath={.status.phase}"
        self._namespace.wait(
            lambda: self._namespace.kubectl("get", "pod", self._pod, f"--output={phase}"),
            lambda seen: seen == "Succeeded",
            seconds,
        )
        seen: dict[str, Any] = json.loads(self._namespace.kubectl("logs", self._pod, "--tail=1"))
        return seen

    def _answers(self) -> int:
        return self._counts()[0]

    def _begun(self) -> int:
        """Streams of which something has come."""
        return self._counts()[1]

    def _counts(self) -> tuple[int, int]:
        try:
            answers, begun = self._namespace.kubectl("logs", self._pod, "--tail=1").split()
            return int(answers), int(begun)
        except (RuntimeError, ValueError):
            return 0, 0
