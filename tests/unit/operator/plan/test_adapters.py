"""What the workers of a ModelDeployment with adapters are told of them, and what they have."""

from fastchat_operator.plan import worker
from fastchat_operator.settings import Settings

ADAPTERS = [
    {"name": "sql", "source": "hf://team/sql"},
    {"name": "law", "source": "pvc://loras/law"},
    {"name": "tax", "source": "pvc://loras/tax"},
    {"name": "hr", "source": "file:///srv/hr"},
]
FOUND = ["law=/adapters/loras/law", "tax=/adapters/loras/tax", "hr=/srv/hr"]


def test_our_engine_is_told_adapters_as_the_pod_finds_them(model):
    planned = _container(model(model={"adapters": ADAPTERS}))
    told = [each for each in planned["args"] if each.startswith("--adapter=")]
    assert told == [f"--adapter={each}" for each in ["sql=hf://team/sql", *FOUND]]


def test_vllm_is_told_adapters_in_its_own_words(model):
    asked = model(engine={"type": "VLLM", "args": ["--max-loras=2"]}, model={"adapters": ADAPTERS})
    planned = _container(asked)["args"]
    told = ["--enable-lora", "--max-loras=4", "--lora-modules", "sql=team/sql", *FOUND, "--max-loras=2"]
    assert planned[-len(told) :] == told


def test_adapters_have_the_claims_that_they_are_on_and_the_cache_that_they_are_downloaded_to(model):
    found = _volumes(model(model={"source": "pvc://models/base", "adapters": ADAPTERS}))
    assert found["/adapters/loras"] == found["/model"] == "persistentVolumeClaim"
    assert found["/cache"] == "emptyDir"
    assert "/cache" not in _volumes(model(model={"source": "pvc://models/base", "adapters": ADAPTERS[1:]}))


def test_a_secret_reaches_a_worker_for_the_download_of_an_adapter(model):
    asked = {"source": "pvc://models/base", "secretName": "hf-token", "adapters": ADAPTERS}
    assert _container(model(model=asked))["envFrom"] == [{"secretRef": {"name": "hf-token"}}]


def _pod(model):
    return worker.plan(model, Settings())[1]["spec"]["template"]["spec"]


def _container(model):
    (only,) = _pod(model)["containers"]
    return only


def _volumes(model):
    """Path in the container: what is there."""
    volumes = {each["name"]: each for each in _pod(model)["volumes"]}
    return {each["mountPath"]: [*volumes[each["name"]]][1] for each in _container(model)["volumeMounts"]}
