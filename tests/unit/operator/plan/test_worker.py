"""The plan of a ModelDeployment's workers."""

from typing import Any

import pytest

from fastchat.v1alpha1.names import worker_name
from fastchat_operator.plan import worker
from fastchat_operator.settings import RESERVED_IN_WORKERS, Settings

DEFAULTS = Settings()
ENGINES = [{"type": "Transformers"}, {"type": "VLLM"}, {"type": "Custom", "image": "sim:1"}]


def deployment(model, settings=DEFAULTS):
    return worker.plan(model, settings)[1]


def pod(model, settings=DEFAULTS):
    return deployment(model, settings)["spec"]["template"]["spec"]


def container(model, settings=DEFAULTS):
    (only,) = pod(model, settings)["containers"]
    return only


def env(model) -> dict[str, Any]:
    return {each["name"]: each.get("value") for each in container(model).get("env", [])}


def mounts(model) -> dict[str, str]:
    """Path in the container: what is there."""
    volumes = {each["name"]: each for each in pod(model)["volumes"]}
    kinds = {name: next(kind for kind in volume if kind != "name") for name, volume in volumes.items()}
    return {each["mountPath"]: kinds[each["name"]] for each in container(model)["volumeMounts"]}


# --- what every worker has


def test_a_model_is_a_service_and_a_deployment_that_belong_to_it(model):
    service, workers = worker.plan(model("llama-3.1"), DEFAULTS)
    assert (service["kind"], workers["kind"]) == ("Service", "Deployment")
    for each in (service, workers):
        assert each["metadata"]["name"] == worker_name("llama-3.1")
        (owner,) = each["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("ModelDeployment", "llama-3.1", "uid-llama-3.1")
        assert owner["controller"]
        assert each["metadata"]["labels"] == {
            "app.kubernetes.io/managed-by": "fastchat-operator",
            "app.kubernetes.io/component": "worker",
            "fastchat.io/model-deployment": "llama-3.1",
        }


def test_the_service_has_no_address_of_its_own_and_selects_the_workers(model):
    service, workers = worker.plan(model(), DEFAULTS)
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == workers["spec"]["selector"]["matchLabels"]
    assert service["spec"]["selector"].items() <= workers["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine["type"])
def test_a_worker_passes_the_restricted_pod_security_standard(model, engine):
    planned = pod(model(engine=engine))
    security = planned["containers"][0]["securityContext"]
    assert planned["securityContext"]["runAsNonRoot"]
    assert planned["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert not planned["automountServiceAccountToken"]


def test_only_our_own_engine_has_a_root_file_system_that_is_known_to_be_read_only(model):
    read_only = [container(model(engine=each))["securityContext"]["readOnlyRootFilesystem"] for each in ENGINES]
    assert read_only == [True, False, False]


def test_a_foreign_image_says_itself_which_user_it_runs_as(model):
    users = [pod(model(engine=each))["securityContext"].get("runAsUser") for each in ENGINES]
    assert users == [65532, 65532, None]


def test_the_same_model_is_planned_the_same_way_every_time(model):
    assert worker.plan(model(), DEFAULTS) == worker.plan(model(), DEFAULTS)


def test_another_spec_has_another_mark(model):
    marks = {
        deployment(each)["metadata"]["annotations"]["fastchat.io/applied-hash"] for each in (model(), model(gpus=1))
    }
    assert len(marks) == 2


# --- engines and sources


SOURCES = {
    "hf://org/name@v2": "hf://org/name@v2",
    "hf://org/name:Q4_K_M": "hf://org/name:Q4_K_M",
    "s3://bucket/prefix": "s3://bucket/prefix",
    "pvc://claim/dir/model": "/model/dir/model",
    "pvc://claim": "/model",
    "file:///models/x": "/models/x",
    "package://pkg/x.gguf": "package://pkg/x.gguf",
}


@pytest.mark.parametrize(("source", "path"), SOURCES.items())
def test_our_engine_is_told_the_source_as_the_pod_finds_it(model, source, path):
    planned = container(model(model={"source": source}))
    assert f"--model-path={path}" in planned["args"]
    assert "command" not in planned


@pytest.mark.parametrize(
    ("source", "arguments"),
    [
        ("hf://org/name@v2", ["org/name", "--revision=v2"]),
        ("hf://org/name@v2:Q4_K_M", ["org/name:Q4_K_M", "--revision=v2"]),
        ("hf://org/name/dir/x.gguf", ["org/name/dir/x.gguf"]),
        ("s3://bucket/prefix", ["s3://bucket/prefix", "--load-format=runai_streamer"]),
        ("pvc://claim/dir", ["/model/dir"]),
        ("file:///models/x", ["/models/x"]),
    ],
)
def test_vllm_is_told_the_source_in_its_own_words(model, source, arguments):
    planned = container(model(engine={"type": "VLLM"}, model={"source": source}))
    assert planned["command"] == ["vllm", "serve"]
    assert planned["args"][0] == arguments[0]
    assert set(arguments) <= set(planned["args"])
    assert "--served-model-name=vicuna" in planned["args"]


@pytest.mark.parametrize(("source", "path"), SOURCES.items())
def test_a_custom_engine_finds_model_path_and_port_in_its_environment(model, source, path):
    asked = model(
        engine={"type": "Custom", "image": "sim:1", "args": ["--fast"]}, model={"source": source, "name": "x"}
    )
    assert {name: value for name, value in env(asked).items() if value} == {
        "FASTCHAT_MODEL_NAME": "x",
        "FASTCHAT_MODEL_PATH": path,
        "PORT": "8000",
    }
    assert container(asked)["image"] == "sim:1"
    assert container(asked)["args"] == ["--fast"]


@pytest.mark.parametrize("engine", ["Transformers", "VLLM"])
def test_code_of_a_model_is_run_only_where_the_team_says_so(model, engine):
    about = {"source": "hf://org/name"}
    assert "--trust-remote-code" not in container(model(engine={"type": engine}, model=about))["args"]
    trusting = container(model(engine={"type": engine}, model={**about, "trustRemoteCode": True}))
    assert "--trust-remote-code" in trusting["args"]


def test_the_teams_arguments_come_last_so_that_they_win(model):
    for engine in ENGINES:
        assert container(model(engine=engine | {"args": ["--dtype=x", "--last"]}))["args"][-2:] == [
            "--dtype=x",
            "--last",
        ]


def test_a_variable_of_the_team_takes_the_place_of_ours(model):
    asked = model(engine={"env": [{"name": "HF_HOME", "value": "/mine"}, {"name": "EMPTY", "value": ""}]})
    assert [each for each in container(asked)["env"] if each["name"] == "HF_HOME"] == [
        {"name": "HF_HOME", "value": "/mine"}
    ]
    assert env(asked)["EMPTY"] == ""


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine["type"])
def test_variables_of_the_settings_are_in_the_workers_of_every_engine(model, engine):
    mine = [
        {"name": "OTEL_TRACES_SAMPLER_ARG", "value": "0.05"},
        {"name": "EMPTY", "value": ""},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
    ]
    asked, settings = model(engine=engine), Settings.model_validate({"worker": {"env": mine}})
    assert container(asked, settings)["env"] == [*container(asked)["env"], *mine]


def test_a_variable_of_the_team_takes_the_place_of_the_settings(model):
    settings = Settings.model_validate({"worker": {"env": [{"name": "A", "value": "x"}, {"name": "B", "value": "x"}]}})
    own = {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    found = container(model(engine={"env": [own]}), settings)["env"]
    assert [each for each in found if each["name"] in ("A", "B")] == [{"name": "B", "value": "x"}, own]


def test_the_variables_that_workers_get_are_those_that_no_setting_may_name(model):
    assert {name for engine in ENGINES for name in env(model(engine=engine))} == RESERVED_IN_WORKERS


@pytest.mark.parametrize(("task", "option"), [("Embed", "--task=embed"), ("Rerank", "--task=rerank")])
def test_a_model_that_does_not_generate_is_started_for_its_task(model, task, option):
    assert option in container(model(model={"task": task}))["args"]
    assert "--runner=pooling" in container(model(engine={"type": "VLLM"}, model={"task": task}))["args"]


def test_images_are_the_settings_unless_the_team_names_one(model):
    settings = Settings.model_validate({"images": {"worker": "w:1", "vllm": "v:1", "pullPolicy": "Always"}})
    images = [container(model(engine=each), settings)["image"] for each in ENGINES]
    assert images == ["w:1", "v:1", "sim:1"]
    assert container(model(engine={"image": "mine:2"}), settings)["image"] == "mine:2"
    assert container(model(), settings)["imagePullPolicy"] == "Always"


@pytest.mark.parametrize(
    ("engine", "name"),
    [*zip(ENGINES, ["FASTCHAT_INTERNAL_TOKEN", "VLLM_API_KEY", "FASTCHAT_INTERNAL_TOKEN"], strict=True)],
)
def test_every_engine_gets_the_token_that_gateways_send_in_its_own_variable(model, engine, name):
    found = [each for each in container(model(engine=engine))["env"] if "valueFrom" in each]
    assert found == [{"name": name, "valueFrom": {"secretKeyRef": {"name": "fastchat-internal", "key": "token"}}}]
    own = {"name": name, "value": "mine"}
    asked = model(engine=engine | {"env": [own]})
    assert [each for each in container(asked)["env"] if each["name"] == name] == [own]


# --- files


def test_a_claim_with_the_model_is_mounted_read_only(model):
    planned = pod(model(model={"source": "pvc://claim/x"}))
    (claim,) = [each for each in planned["volumes"] if "persistentVolumeClaim" in each]
    assert claim["persistentVolumeClaim"] == {"claimName": "claim", "readOnly": True}
    (mount,) = [each for each in planned["containers"][0]["volumeMounts"] if each["name"] == claim["name"]]
    assert mount == {"name": claim["name"], "mountPath": "/model", "readOnly": True}


def test_downloads_are_kept_in_the_pod_unless_a_claim_is_named(model):
    assert mounts(model()) == {"/tmp": "emptyDir", "/cache": "emptyDir"}
    assert mounts(model(cache={"claimName": "shared"})) == {"/tmp": "emptyDir", "/cache": "persistentVolumeClaim"}
    (cache,) = [each for each in pod(model(cache={"sizeLimit": "10Gi"}))["volumes"] if each["name"] == "fastchat-cache"]
    assert cache["emptyDir"] == {"sizeLimit": "10Gi"}


def test_vllm_has_shared_memory_for_its_processes(model):
    assert mounts(model(engine={"type": "VLLM"}))["/dev/shm"] == "emptyDir"


@pytest.mark.parametrize("path", ["/tmp", "/cache", "/cache/", "/dev/shm"])
def test_a_mount_of_the_team_takes_the_place_of_ours(model, path):
    own = {
        "volumes": [{"name": "mine", "hostPath": {"path": "/x"}}],
        "volumeMounts": [{"name": "mine", "mountPath": path}],
    }
    found = mounts(model(engine={"type": "VLLM"}, **own))
    assert found[path] == "hostPath"
    assert len(found) == 3


def test_a_mount_of_the_team_keeps_fields_that_are_not_named_here(model):
    own = {
        "volumes": [{"name": "mine", "configMap": {"name": "c", "defaultMode": 288}}],
        "volumeMounts": [{"name": "mine", "mountPath": "/x", "subPath": "y", "readOnly": True}],
    }
    planned = pod(model(**own))
    assert planned["volumes"][-1] == own["volumes"][0]
    assert planned["containers"][0]["volumeMounts"][-1] == own["volumeMounts"][0]


@pytest.mark.parametrize("engine", ["Transformers", "VLLM"])
def test_a_chat_template_of_a_config_map_is_mounted_and_named_to_the_engine(model, engine):
    entry = {"configMapKeyRef": {"name": "templates", "key": "own.jinja"}}
    asked = model(engine={"type": engine}, model={"chatTemplateFrom": entry})
    assert "--chat-template=/chat-template/template.jinja" in container(asked)["args"]
    assert mounts(asked)["/chat-template"] == "configMap"
    volume = next(each for each in pod(asked)["volumes"] if each["name"] == "fastchat-chat-template")
    assert volume["configMap"] == {"name": "templates", "items": [{"key": "own.jinja", "path": "template.jinja"}]}


def test_the_engines_own_arguments_come_after_the_chat_template_of_the_model(model):
    asked = model(model={"chatTemplate": "vicuna_v1.1"}, engine={"args": ["--chat-template=/own.jinja"]})
    assert container(asked)["args"][-2:] == ["--chat-template=vicuna_v1.1", "--chat-template=/own.jinja"]
    assert "/chat-template" not in mounts(asked)


def test_a_secret_reaches_a_worker_only_as_the_environment_of_its_download(model):
    asked = model(model={"source": "hf://org/name", "secretName": "hf-token"})
    assert container(asked)["envFrom"] == [{"secretRef": {"name": "hf-token"}}]
    assert str(worker.plan(asked, DEFAULTS)).count("hf-token") == 1
    assert "envFrom" not in container(model())


# --- GPUs, resources and placement


def test_gpus_are_limit_and_request_and_their_taint_is_tolerated(model):
    asked = model(gpus=2, gpuResource="amd.com/gpu", resources={"limits": {"memory": "8Gi"}})
    assert container(asked)["resources"] == {
        "limits": {"memory": "8Gi", "amd.com/gpu": "2"},
        "requests": {"amd.com/gpu": "2"},
    }
    assert pod(asked)["tolerations"] == [{"key": "amd.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


def test_without_gpus_nothing_of_them_is_asked_for(model):
    assert "resources" not in container(model())
    assert "tolerations" not in pod(model())


def test_vllm_splits_a_model_over_the_gpus_of_its_worker(model):
    engine = {"type": "VLLM"}
    assert "--tensor-parallel-size=4" in container(model(engine=engine, gpus=4))["args"]
    assert not any("tensor-parallel" in each for each in container(model(engine=engine, gpus=1))["args"])


def test_a_worker_with_gpus_is_replaced_without_a_spare_one_unless_asked_otherwise(model):
    def rolling(**spec):
        return deployment(model(**spec))["spec"]["strategy"]["rollingUpdate"]

    assert rolling() == {"maxSurge": 1, "maxUnavailable": 0}
    assert rolling(gpus=1) == {"maxSurge": 0, "maxUnavailable": 1}
    assert rolling(gpus=1, maxSurge=1) == {"maxSurge": 1, "maxUnavailable": 0}
    assert rolling(maxSurge=0) == {"maxSurge": 0, "maxUnavailable": 1}


def test_the_settings_defaults_fill_what_the_team_leaves_out(model):
    worker_settings = {
        "resources": {"requests": {"cpu": "1", "memory": "2Gi"}},
        "nodeSelector": {"pool": "models", "zone": "a"},
        "tolerations": [{"key": "models", "operator": "Exists"}],
        "runtimeClassName": "nvidia",
    }
    settings = Settings.model_validate({"worker": worker_settings, "images": {"pullSecrets": ["registry"]}})
    asked = model(gpus=1, resources={"requests": {"cpu": 4}}, nodeSelector={"zone": "b"})
    planned = pod(asked, settings)
    assert planned["containers"][0]["resources"]["requests"] == {"cpu": "4", "memory": "2Gi", "nvidia.com/gpu": "1"}
    assert planned["nodeSelector"] == {"pool": "models", "zone": "b"}
    assert [each["key"] for each in planned["tolerations"]] == ["nvidia.com/gpu", "models"]
    assert planned["runtimeClassName"] == "nvidia"
    assert planned["imagePullSecrets"] == [{"name": "registry"}]
    assert "runtimeClassName" not in pod(model(), settings)


def test_placement_reaches_the_pod_as_it_was_given(model):
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
    tolerations = [{"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 60}]
    given = {"affinity": affinity, "tolerations": tolerations, "priorityClassName": "high", "serviceAccountName": "sa"}
    planned = pod(model(**given, runtimeClassName="kata"))
    assert {name: planned[name] for name in given} == given
    assert planned["runtimeClassName"] == "kata"


# --- life and death


def test_a_worker_is_ready_when_its_model_is_loaded_and_has_time_for_that(model):
    planned = container(model())
    assert planned["startupProbe"]["httpGet"] == {"path": "/ready", "port": "http"}
    assert planned["startupProbe"]["periodSeconds"] * planned["startupProbe"]["failureThreshold"] >= 6 * 3600
    assert planned["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert planned["livenessProbe"]["httpGet"]["path"] == "/health"
    assert planned["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_a_foreign_engine_is_ready_when_it_is_healthy_or_where_the_team_says(model):
    assert container(model(engine={"type": "VLLM"}))["readinessProbe"]["httpGet"]["path"] == "/health"
    engine = {"type": "Custom", "image": "sim:1", "readyPath": "/up"}
    assert container(model(engine=engine))["readinessProbe"]["httpGet"]["path"] == "/up"
    assert container(model(engine=engine))["livenessProbe"]["httpGet"]["path"] == "/health"


def test_our_worker_knows_its_grace_period_and_the_pod_lives_longer(model):
    asked = model(terminationGracePeriodSeconds=60)
    assert "--grace-period-seconds=60" in container(asked)["args"]
    assert pod(asked)["terminationGracePeriodSeconds"] > 60
    assert "lifecycle" not in container(asked)


@pytest.mark.parametrize("engine", ENGINES[1:], ids=lambda engine: engine["type"])
def test_an_engine_that_turns_nobody_away_waits_before_its_sigterm(model, engine):
    asked = model(engine=engine, terminationGracePeriodSeconds=60)
    wait = container(asked)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert wait > 0
    assert pod(asked)["terminationGracePeriodSeconds"] > 60 + wait


def test_replicas_are_the_specs_also_with_an_autoscaler(model):
    assert deployment(model(replicas=0))["spec"]["replicas"] == 0
    scaled = model(replicas=5, autoscaling={"minReplicas": 0, "maxReplicas": 8})
    assert deployment(scaled)["spec"]["replicas"] == 5
