"""What cannot work is refused by the API server, in words that help."""

import pytest

HF = {"source": "hf://org/name"}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"model": {"source": "ftp://host/model"}}, ["spec.model.source", "unknown scheme", "hf://"]),
        ({"model": HF, "autoscaling": {"minReplicas": 3, "maxReplicas": 2}}, ["maxReplicas", "must not be less"]),
        ({"model": HF, "engine": {"type": "Custom"}}, ["spec.engine.image", "needs an image"]),
        ({"model": HF, "gpu": 1}, ["unknown field", "spec.gpu"]),
        ({"model": HF | {"name": "a", "aliases": ["a"]}}, ["spec.model.aliases", "repeats"]),
        ({"model": HF, "resources": {"limits": {"nvidia.com/gpu": 1}}}, ["spec.resources", "spec.gpus"]),
        ({}, ["spec.model", "Required"]),
    ],
)
def test_a_manifest_that_cannot_work_is_refused_with_what_to_change(team, spec, words):
    with pytest.raises(RuntimeError) as refused:
        team.model("wrong", spec)
    for word in words:
        assert word in str(refused.value)


@pytest.fixture(scope="module")
def team(make_namespace):
    return make_namespace("refused")
