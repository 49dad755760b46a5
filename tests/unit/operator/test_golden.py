"""The pod templates of this release, byte for byte, as files in golden/.

A template that differs replaces every pod that is made from it in every cluster that upgrades: models are loaded again.
So a change of these files is a decision, and stands in CHANGELOG.md and under "Upgrading" in docs/install.md. To renew:

    .venv/bin/python tests/unit/operator/test_golden.py
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat_operator.plan import gateway, worker
from fastchat_operator.settings import Release, Settings

GOLDEN = Path(__file__).parent / "golden"
ENGINES: dict[str, dict[str, Any]] = {
    "transformers": {"type": "Transformers"},
    "vllm": {"type": "VLLM"},
    "custom": {"type": "Custom", "image": "registry.example.com/engine:1"},
}
SOURCES = {
    "hub": "hf://org/name@v2",
    "bucket": "s3://bucket/prefix",
    "claim": "pvc://claim/folder",
    "file": "file:///models/name",
    "package": "package://module/model.gguf",
}
OPTIONS: dict[str, Any] = {
    "model": {"name": "served", "aliases": ["alias"], "task": "Embed", "secretName": "hub-token"},
    "resources": {"requests": {"cpu": 4}, "limits": {"memory": "16Gi"}},
    "nodeSelector": {"pool": "models"},
    "tolerations": [{"key": "models", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}],
    "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "runtimeClassName": "nvidia",
    "priorityClassName": "high",
    "serviceAccountName": "team",
    "volumes": [{"name": "data", "configMap": {"name": "data", "defaultMode": 288}}],
    "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True}],
    "cache": {"sizeLimit": "50Gi"},
    "terminationGracePeriodSeconds": 60,
}
ENGINE_OPTIONS = {"args": ["--max-model-len=4096"], "env": [{"name": "A", "value": "1"}], "readyPath": "/up"}
DEFAULTS = Settings(release=Release(gateway="release/gateway", worker="release/worker", vllm="release/vllm"))
"""Another release has other images, and leaves pods theirs: plan/test_revision.py."""
SETTINGS: dict[str, Any] = {
    "images": {"gateway": "g:1", "worker": "w:1", "vllm": "v:1", "pullPolicy": "Always", "pullSecrets": ["registry"]},
    "gateway": {
        "requireApiKeys": True,
        "args": ["--max-body-bytes=1048576"],
        "env": [{"name": "A", "value": "1"}],
        "resources": {"limits": {"memory": "1Gi"}},
        "gracePeriodSeconds": 60,
        "nodeSelector": {"pool": "web"},
        "tolerations": [{"key": "web", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "priorityClassName": "high",
        "roll": "1",
    },
    "worker": {
        "resources": {"requests": {"cpu": 1}},
        "env": [{"name": "B", "value": "2"}],
        "nodeSelector": {"zone": "a"},
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "runtimeClassName": "nvidia",
        "sizeLimits": {"tmp": "1Gi", "cache": "2Gi", "sharedMemory": "3Gi"},
        "roll": "1",
    },
}


def planned(engine: str) -> dict[str, Any]:
    """Pod templates of an engine's workers, by what is special about them."""
    sources = SOURCES if engine != "vllm" else {name: url for name, url in SOURCES.items() if name != "package"}
    plain = {name: _template(engine, {"model": {"source": url}}) for name, url in sources.items()}
    model = OPTIONS["model"] | {"source": SOURCES["hub"]}
    options = OPTIONS | {"model": model, "engine": ENGINES[engine] | ENGINE_OPTIONS}
    if engine != "custom":
        entry = {"configMapKeyRef": {"name": "templates", "key": "own.jinja"}}
        plain["chat-template-from"] = _template(
            engine, {"model": {"source": SOURCES["hub"], "chatTemplateFrom": entry}}
        )
    if engine == "transformers":
        plain["chat-template"] = _template(engine, {"model": {"source": SOURCES["hub"], "chatTemplate": "vicuna_v1.1"}})
    return plain | {
        "gpus": _template(engine, {"model": {"source": SOURCES["hub"]}, "gpus": 2}),
        "options": _template(engine, options),
        "options-gpus-settings": _template(engine, options | {"gpus": 1}, Settings.model_validate(SETTINGS)),
        "claim-cache": _template(engine, {"model": {"source": SOURCES["hub"]}, "cache": {"claimName": "cache"}}),
    }


def _template(engine: str, spec: dict[str, Any], settings: Settings | None = None) -> Any:
    deployment = ModelDeployment.parse(
        {
            "apiVersion": "fastchat.io/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": "name", "namespace": "team"},
            "spec": {"engine": ENGINES[engine]} | spec,
        }
    )
    return worker.plan(deployment, settings or DEFAULTS)[1]["spec"]["template"]


def planned_gateways() -> dict[str, Any]:
    def template(settings: Settings) -> Any:
        return next(each for each in gateway.plan("team", settings) if each["kind"] == "Deployment")["spec"]["template"]

    return {"defaults": template(DEFAULTS), "settings": template(Settings.model_validate(SETTINGS))}


def files() -> dict[str, str]:
    """File → what it must hold."""
    templates = {engine: planned(engine) for engine in ENGINES} | {"gateway": planned_gateways()}
    return {f"{name}.yaml": yaml.safe_dump(each, sort_keys=True) for name, each in templates.items()}


@pytest.mark.parametrize(("name", "text"), files().items(), ids=lambda value: value if value.endswith("yaml") else "")
def test_this_release_makes_the_pods_that_it_made_before(name: str, text: str) -> None:
    assert text == (GOLDEN / name).read_text(), __doc__


def test_every_volume_on_a_node_has_a_size_limit() -> None:
    for name in files():
        for template in yaml.safe_load((GOLDEN / name).read_text()).values():
            for volume in template["spec"]["volumes"]:
                assert volume.get("emptyDir", {"sizeLimit": "none"}).get("sizeLimit"), (name, volume)


if __name__ == "__main__":
    for name, text in files().items():
        (GOLDEN / name).write_text(text)
