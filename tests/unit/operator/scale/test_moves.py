"""What is told of the responses whose workers were stopped; pods, gateways and time are values."""

from types import SimpleNamespace
from typing import Any

import pytest

from fastchat.demand import Demand
from fastchat_operator.key import ModelKey
from fastchat_operator.kube.kind import DEPLOYMENT, MODEL_DEPLOYMENT, POD
from fastchat_operator.scale.moves import Moves
from fastchat_operator.store import Store

DEPLOYMENT_OF = {"apiVersion": "apps/v1", "kind": "Deployment"}
KEY = ModelKey("team", "vicuna")


class Scene:
    """A model whose pods, rollout and gateways are as a test says, and the Events on it."""

    def __init__(self, resource: Any, pod: Any) -> None:
        self.told: list[tuple[str, str]] = []
        self.ends = {"gateway-a": Demand(), "gateway-b": Demand(moved=100, cut=7)}
        self.now = 0.0
        self._pod = pod
        self._version = 1
        self._store = Store()
        self._store.see(MODEL_DEPLOYMENT, resource())
        applier: Any = SimpleNamespace(tell=self._tell)
        listeners: Any = SimpleNamespace(heard=self._heard)
        self._moves = Moves(applier, self._store, listeners, lambda: self.now)

    def _heard(self, pods: Any) -> dict[str, dict[str, Demand]]:  # the same for all
        return {gateway: {"vicuna": demand} for gateway, demand in self.ends.items()}

    async def _tell(self, deployment: Any, reason: str, message: str) -> None:
        assert deployment.metadata.name == "vicuna"
        self.told.append((reason, message))

    def workers(self, *names: str, rolls: bool = False, wanted: int = 1) -> None:
        """These pods are there, and the Deployment says that they are those it wants, or that it replaces them."""
        self._version += 1
        before = {pod["metadata"]["name"]: pod for pod in self._store.pods(KEY)}
        for name, pod in before.items():
            if name not in names:
                pod["metadata"]["resourceVersion"] = str(self._version)
                self._store.forget(POD, pod)
        for name in names:
            if name not in before:
                self._store.see(POD, self._pod(name))
        status = {"observedGeneration": 1} | dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas"), len(names))
        reason = "ReplicaSetUpdated" if rolls else "NewReplicaSetAvailable"
        status["conditions"] = [{"type": "Progressing", "status": "True", "reason": reason}]
        labels = self._pod()["metadata"]["labels"]
        about = {"name": "vicuna-worker", "namespace": "team", "uid": "d", "generation": 1, "labels": labels}
        metadata = about | {"resourceVersion": str(self._version)}
        self._store.see(
            DEPLOYMENT, DEPLOYMENT_OF | {"metadata": metadata, "spec": {"replicas": wanted}, "status": status}
        )

    async def look(self, seconds: float) -> list[tuple[str, str]]:
        """What was told so far, so many seconds later."""
        self.now += seconds
        await self._moves.look([KEY])
        return self.told


@pytest.fixture
def scene(resource, pod) -> Scene:
    return Scene(resource, pod)


async def test_a_rollout_says_once_how_many_responses_moved(scene):
    scene.workers("old")
    await scene.look(0)
    scene.workers("new", rolls=True)
    await scene.look(1)
    scene.ends = {"gateway-a": Demand(moved=5), "gateway-b": Demand(moved=103, cut=7)}
    scene.workers("new")
    await scene.look(11)
    assert await scene.look(2.9) == []
    scene.ends["gateway-a"] = Demand(moved=4, paused=1)
    assert await scene.look(3) == []
    scene.ends["gateway-a"] = Demand(moved=5)
    await scene.look(0)
    assert await scene.look(2.9) == []
    await scene.look(0.1)
    told = [("RolledOut", "1 worker replaced within 17 s: 8 responses were moved to others, none cut")]
    assert await scene.look(60) == told


async def test_workers_that_are_stopped_say_what_became_of_their_responses(scene):
    scene.workers("one", "two", "three", wanted=3)
    await scene.look(0)
    scene.workers("one")
    scene.ends = {"gateway-a": Demand(moved=1), "gateway-b": Demand(moved=100, cut=9)}
    await scene.look(1)
    told = [("WorkersStopped", "2 workers stopped within 0 s: 1 response was moved to others, 2 cut")]
    assert await scene.look(3) == told


async def test_an_idle_worker_that_is_stopped_is_nothing_to_tell(scene):
    scene.workers("one", "two", wanted=2)
    await scene.look(0)
    scene.workers("one")
    await scene.look(1)
    assert await scene.look(3) == []


async def test_what_moved_before_and_gateways_that_went_meanwhile_are_counted_once(scene):
    scene.workers("old")
    await scene.look(0)
    scene.ends = {"gateway-b": Demand(moved=110, cut=7)}
    await scene.look(1)
    scene.workers("new", rolls=True)
    await scene.look(1)
    scene.ends = {"gateway-b": Demand(moved=113, cut=7), "gateway-c": Demand(moved=2)}
    await scene.look(1)
    scene.ends = {"gateway-c": Demand(moved=4)}
    scene.workers("new")
    await scene.look(1)
    assert await scene.look(3) == [
        ("RolledOut", "1 worker replaced within 2 s: 7 responses were moved to others, none cut")
    ]


async def test_two_rollouts_in_a_row_are_one_until_all_is_calm(scene):
    scene.workers("old")
    await scene.look(0)
    scene.workers("new", rolls=True)
    await scene.look(1)
    scene.workers("new")
    await scene.look(2)
    scene.workers("newer", rolls=True)
    await scene.look(2)
    scene.workers("newer")
    await scene.look(2)
    assert await scene.look(3) == [
        ("RolledOut", "2 workers replaced within 6 s: no response had to be moved to others, none cut")
    ]
