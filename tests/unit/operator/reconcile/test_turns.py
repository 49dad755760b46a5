"""Whose turn it is when pods are replaced that nobody asked to replace."""

import asyncio

import pytest

from fastchat_operator.key import GatewayKey, ModelKey
from fastchat_operator.observe.drift import drifted
from fastchat_operator.plan import gateway, worker
from fastchat_operator.plan.workloads import progress
from fastchat_operator.reconcile.turns import Turns, in_the_way, needs_turn, with_pods_of
from fastchat_operator.settings import Images, Settings

OLD, NEW = Settings(), Settings(images=Images(worker="new:1", gateway="new:1"))
DONE = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
UNDER_WAY = {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}
TOO_LONG = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
PAUSED = {"type": "Progressing", "status": "Unknown", "reason": "DeploymentPaused"}
ME = ModelKey("team", "me")


@pytest.fixture
def workload(model):
    """The workers of a model as the API server has them."""

    def make(condition=DONE, *, settings=OLD, before=None, generation=1, **spec):
        made = worker.plan(model(**spec), settings, before)[1]
        made["metadata"]["generation"] = generation
        return made | {"status": {"observedGeneration": 1, "conditions": [condition]}}

    return make


@pytest.fixture
def rolled(workload):
    """One whose pods were changed by a setting."""
    return lambda condition=DONE, **more: workload(condition, settings=NEW, before=workload(), **more)


def test_a_changed_setting_needs_a_turn_and_what_the_model_itself_asks_for_does_not(model, workload):
    there = workload()
    assert needs_turn(worker.plan(model(), NEW, there)[1], there)
    assert not needs_turn(worker.plan(model(gpus=1), NEW, there)[1], there)
    assert not needs_turn(worker.plan(model(replicas=3), OLD, there)[1], there)
    assert not needs_turn(worker.plan(model(), NEW)[1], None)


def test_where_there_are_no_pods_none_are_replaced(model, workload):
    there = workload(replicas=0)
    assert not needs_turn(worker.plan(model(replicas=0), NEW, there)[1], there)


def test_pods_of_a_release_that_wrote_nothing_down_are_replaced_in_turn(model, workload):
    there = workload()
    del there["metadata"]["annotations"]["fastchat.io/revision"]
    assert needs_turn(worker.plan(model(), OLD, there)[1], there)


@pytest.mark.parametrize("condition", [UNDER_WAY, TOO_LONG])
def test_a_model_waits_until_all_pods_of_the_last_one_were_ready(rolled, condition):
    other = ModelKey("team", "other")
    assert in_the_way(ME, [(other, rolled(condition))]) == other
    assert in_the_way(ME, [(other, rolled(generation=2))]) == other
    assert in_the_way(ME, [(other, rolled(DONE))]) is None
    assert in_the_way(ME, [(ME, rolled(condition))]) is None


def test_it_does_not_wait_for_models_that_were_never_ready_or_are_replaced_at_their_own_request(workload, model):
    other = ModelKey("team", "other")
    assert in_the_way(ME, [(other, workload(UNDER_WAY))]) is None
    assert in_the_way(ME, [(other, workload(UNDER_WAY, settings=NEW, before=workload(), gpus=1))]) is None


@pytest.mark.parametrize("condition", [TOO_LONG, PAUSED])
def test_a_model_that_cannot_start_holds_up_its_own_namespace_only(rolled, condition):
    there = rolled(condition)
    assert progress(there).stuck
    assert in_the_way(ME, [(ModelKey("elsewhere", "other"), there)]) is None
    assert in_the_way(ME, [(ModelKey("elsewhere", "other"), rolled(UNDER_WAY))]) == ModelKey("elsewhere", "other")


def test_gateways_wait_for_gateways_and_models_for_models(rolled):
    there = rolled(UNDER_WAY)
    assert in_the_way(GatewayKey("team"), [(ModelKey("elsewhere", "other"), there)]) is None
    assert in_the_way(ME, [(GatewayKey("elsewhere"), there)]) is None
    assert in_the_way(GatewayKey("team"), [(GatewayKey("elsewhere"), there)]) == GatewayKey("elsewhere")


def test_a_model_that_was_scaled_to_zero_on_the_way_is_done(rolled):
    assert not progress(rolled(UNDER_WAY, replicas=0)).replacing


def test_who_waits_is_scaled_all_the_same_and_its_pods_stay(model, workload):
    there = workload()
    desired = worker.plan(model(replicas=3), NEW, there)[1]
    waiting = with_pods_of(there, desired)
    assert waiting["spec"]["replicas"] == 3
    assert waiting["spec"]["template"] == there["spec"]["template"]
    assert drifted(waiting, there)
    written = there | {"spec": waiting["spec"], "metadata": there["metadata"] | waiting["metadata"]}
    assert not drifted(with_pods_of(written, desired), written)
    assert drifted(desired, written)


def test_who_waited_is_told_once_when_the_last_one_is_ready_or_gone(rolled):
    turns, other = Turns(), ModelKey("team", "other")
    turns.wait(ME, other)
    assert turns.next(other, rolled(UNDER_WAY)) == set()
    assert turns.next(ModelKey("team", "third"), rolled()) == set()
    assert turns.next(other, rolled()) == {ME}
    assert turns.next(other, rolled()) == set()
    turns.wait(ME, other)
    assert turns.next(other, None) == {ME}


async def permitted(turns, desired, there, workloads):
    async with turns.take(desired, there, lambda: workloads) as written:
        return written


async def test_who_has_the_turn_is_written_as_planned_and_who_waits_keeps_its_pods(model, workload, rolled):
    turns, there, other = Turns(), workload(), ModelKey("team", "other")
    desired = worker.plan(model(), NEW, there)[1]
    assert await permitted(turns, desired, there, [(other, rolled(DONE))]) == desired
    assert await permitted(turns, desired, there, [(other, rolled(UNDER_WAY))]) == with_pods_of(there, desired)
    assert turns.next(other, rolled(DONE)) == {ModelKey("team", "vicuna")}


async def test_a_second_workload_asks_whose_turn_it_is_when_the_first_is_written(model, workload, rolled):
    turns, there, written = Turns(), workload(), []
    desired = worker.plan(model(), NEW, there)[1]
    async with turns.take(desired, there, lambda: written):
        second = asyncio.create_task(permitted(turns, desired, there, written))
        await asyncio.sleep(0)
        written.append((ModelKey("team", "other"), rolled(UNDER_WAY)))
    assert await second == with_pods_of(there, desired)


def test_a_gateways_change_of_settings_needs_a_turn():
    def deployment(settings, there=None):
        return next(each for each in gateway.plan("team", settings, there) if each["kind"] == "Deployment")

    there = deployment(OLD)
    assert needs_turn(deployment(NEW, there), there)
