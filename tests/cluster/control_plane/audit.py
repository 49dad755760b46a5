"""The API server's audit log: who wrote what."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [
        {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
        {"level": "None"},
    ],
}


def writes(log: Path, user_agent: str) -> list[str]:
    """Every successful write of clients whose user agent begins so, as "patch deployments/status team-a/vicuna".

    A client that has its answer finds its request here: the log is written before the answer ends.
    """
    return [
        _sentence(event)
        for event in _events(log)
        if _is_write(event) and event.get("userAgent", "").startswith(user_agent)
    ]


def _events(log: Path) -> Iterator[dict[str, Any]]:
    with log.open() as lines:
        for line in lines:
            yield json.loads(line)


def _is_write(event: dict[str, Any]) -> bool:
    return bool(event.get("responseStatus", {}).get("code", 500) < 400 and "dryRun=" not in event["requestURI"])


def _sentence(event: dict[str, Any]) -> str:
    target = event.get("objectRef", {})
    kind = "/".join(filter(None, [target.get("resource"), target.get("subresource")]))
    name = "/".join(filter(None, [target.get("namespace"), target.get("name")]))
    return f"{event['verb']} {kind} {name}"
