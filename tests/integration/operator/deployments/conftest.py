"""`fastchat.deployments` as users have it: by calls that block, and by calls that are awaited."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastchat.deployments import AsyncDeployments, Deployments


class Awaited:
    """AsyncDeployments, awaited for whoever blocks."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = self._runner.run(self._made(*args, **kwargs))

    async def _made(self, *args: Any, **kwargs: Any) -> AsyncDeployments:
        return AsyncDeployments(*args, **kwargs)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: self._runner.run(getattr(self._client, name)(*args, **kwargs))

    def watch(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        events = self._client.watch(*args, **kwargs)
        while (event := self._runner.run(anext(events, None))) is not None:
            yield event
        self._runner.run(events.aclose())

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()


@pytest.fixture(params=["blocking", "awaited"])
def open_deployments(request: pytest.FixtureRequest, team: Any) -> Iterator[Callable[[Path], Any]]:
    """Opens the team's ModelDeployments as who a kubeconfig says."""
    opened = []

    def start(kubeconfig: Path) -> Any:
        made = {"blocking": Deployments, "awaited": Awaited}[request.param](team.name, kubeconfig=str(kubeconfig))
        opened.append(made)
        return made

    yield start
    for each in opened:
        each.close()


@pytest.fixture
def deployments(open_deployments: Callable[[Path], Any], api_server: Any, admin: Any) -> Any:
    """Those of the team, as an administrator."""
    return open_deployments(api_server.kubeconfig)
