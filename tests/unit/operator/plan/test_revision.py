"""What replaces pods, and what does not: another release of the operator does not."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fastchat_operator.plan import gateway, worker
from fastchat_operator.settings import Images, Release, Settings

FIRST = Settings(release=Release(gateway="gateway:1", worker="worker:1", vllm="vllm:1"))
SECOND = Settings(release=Release(gateway="gateway:2", worker="worker:2", vllm="vllm:2"))
ENGINES = {"Transformers": "worker", "VLLM": "vllm"}
GUIDE = Path(__file__).parents[4] / "docs/install.md"


def workers(model, settings=FIRST, there=None):
    return worker.plan(model, settings, there)[1]


def gateways(settings=FIRST, there=None):
    return next(each for each in gateway.plan("team", settings, there) if each["kind"] == "Deployment")


def template(workload):
    return workload["spec"]["template"]


def image(workload):
    return template(workload)["spec"]["containers"][0]["image"]


def named(**images):
    return SECOND.model_copy(update={"images": Images(**images)})


@pytest.mark.parametrize("engine", ENGINES)
def test_another_release_leaves_workers_with_the_image_they_have(model, engine):
    asked = model(engine={"type": engine})
    there = workers(asked)
    assert workers(asked, SECOND, there) == there
    assert image(workers(asked, SECOND)) == f"{ENGINES[engine]}:2"


def test_another_release_leaves_gateways_with_the_image_they_have():
    there = gateways()
    assert gateways(SECOND, there) == there
    assert image(gateways(SECOND)) == "gateway:2"


def test_what_a_model_says_beside_its_pods_leaves_them_as_they_are(model):
    there = workers(model())
    scaled = model(replicas=3, queue={"maxRequests": 9}, autoscaling={"maxReplicas": 4}, maxSurge=0)
    now = workers(scaled, SECOND, there)
    assert template(now) == template(there)
    assert now["spec"]["replicas"] == 3


def test_workers_that_are_replaced_anyway_get_the_image_of_the_release_that_runs(model):
    there = workers(model())
    assert image(workers(model(gpus=1), SECOND, there)) == "worker:2"
    rolled = model()
    rolled.metadata.annotations["fastchat.io/roll"] = "1"
    assert image(workers(rolled, SECOND, there)) == "worker:2"
    roll = SECOND.model_copy(update={"gateway": SECOND.gateway.model_copy(update={"roll": "1"})})
    assert image(gateways(roll, gateways())) == "gateway:2"


def test_once_rolled_they_stay_as_they_are(model):
    rolled = model()
    rolled.metadata.annotations["fastchat.io/roll"] = "1"
    there = workers(rolled, FIRST, workers(model()))
    assert workers(rolled, SECOND, there) == there


def test_a_named_image_counts_at_once_and_taking_the_name_back_gives_the_releases(model):
    there = workers(model())
    mine = workers(model(), named(worker="mine:1"), there)
    assert image(mine) == "mine:1"
    assert image(workers(model(), SECOND, mine)) == "worker:2"
    assert image(workers(model(), named(vllm="other:1"), there)) == "worker:1"


def test_a_container_that_somebody_gave_another_image_gets_its_own_back(model):
    there = workers(model())
    template(there)["spec"]["containers"][0]["image"] = "foreign:1"
    assert image(workers(model(), SECOND, there)) == "worker:1"


@pytest.mark.parametrize("text", ["", "nonsense", "{}", '{"asked": "x"}'])
def test_pods_that_do_not_say_what_they_are_made_from_are_made_anew(model, text):
    there = workers(model())
    there["metadata"]["annotations"]["fastchat.io/revision"] = text
    now = workers(model(), SECOND, there)
    assert image(now) == "worker:2"
    assert '"unasked":true' in now["metadata"]["annotations"]["fastchat.io/revision"]


def test_who_wanted_new_pods_is_known(model):
    def unasked(workload):
        return '"unasked":true' in workload["metadata"]["annotations"]["fastchat.io/revision"]

    there = workers(model())
    assert not unasked(there)
    assert not unasked(workers(model(gpus=1), named(worker="mine:1"), there))
    assert unasked(workers(model(), named(worker="mine:1"), there))


# --- which values replace pods, as docs/install.md says

CHANGED: dict[str, Any] = {
    "namespaces": ["a"],
    "release.gateway": "g:9",
    "release.worker": "w:9",
    "release.vllm": "v:9",
    "images.gateway": "g:9",
    "images.worker": "w:9",
    "images.vllm": "v:9",
    "images.pullPolicy": "Always",
    "images.pullSecrets": ["registry"],
    "gateway.replicas": 5,
    "gateway.requireApiKeys": True,
    "gateway.allowedOrigins": ["https://chat.example"],
    "gateway.page": False,
    "gateway.args": ["--no-access-log"],
    "gateway.env": [{"name": "A", "value": "1"}],
    "gateway.resources": {"limits": {"memory": "1Gi"}},
    "gateway.gracePeriodSeconds": 9,
    "gateway.nodeSelector": {"a": "b"},
    "gateway.tolerations": [{"key": "a", "operator": "Exists"}],
    "gateway.affinity": {"podAntiAffinity": {}},
    "gateway.priorityClassName": "high",
    "gateway.roll": "1",
    "worker.resources": {"limits": {"memory": "1Gi"}},
    "worker.env": [{"name": "A", "value": "1"}],
    "worker.nodeSelector": {"a": "b"},
    "worker.tolerations": [{"key": "a", "operator": "Exists"}],
    "worker.runtimeClassName": "nvidia",
    "worker.sizeLimits.tmp": "1Gi",
    "worker.sizeLimits.cache": "1Gi",
    "worker.sizeLimits.sharedMemory": "1Gi",
    "worker.roll": "1",
    "networkPolicy": {"enabled": False},
    "leaderElection": {"name": "a"},
    "resyncSeconds": 9,
}
"""Setting → a value that is not its default."""
WHOLE = {"networkPolicy", "leaderElection"}
"""Parts that stand in CHANGED as they are."""


def leaves(part: type[BaseModel], path: str = "") -> set[str]:
    """Dotted paths of everything that can be set."""
    found = set()
    for name, field in part.model_fields.items():
        own = f"{path}{field.alias or name}"
        deeper = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        opens = deeper and own not in WHOLE and own not in CHANGED
        found |= leaves(field.annotation, f"{own}.") if opens else {own}
    return found


def with_changed(setting: str) -> Settings:
    *parts, last = setting.split(".")
    value: Any = {last: CHANGED[setting]}
    for part in reversed(parts):
        value = {part: value}
    return Settings.model_validate(value)


def replaces(setting: str, model) -> bool:
    changed = with_changed(setting)
    models = [model(engine={"type": engine}, gpus=gpus) for engine, gpus in product(ENGINES, (0, 1))]
    before = [*(workers(each, Settings()) for each in models), gateways(Settings())]
    after = [workers(each, changed, there) for each, there in zip(models, before, strict=False)]
    after.append(gateways(changed, before[-1]))
    return [*map(template, before)] != [*map(template, after)]


def test_every_setting_is_tried_here():
    assert leaves(Settings) == CHANGED.keys()


def test_the_guide_names_the_values_that_replace_pods_and_no_others(model):
    listed = GUIDE.read_text().split("| value that replaces pods |")[1].split("\n\n")[0]
    assert {each for each in CHANGED if f"`{each}`" in listed} == {each for each in CHANGED if replaces(each, model)}
