"""`fastchat deploy`, `list`, `status`, `scale`, `delete` and `doctor` before a real API server."""

import json
import os
import pty
import subprocess
import sys

import pytest
import yaml
from integration.operator.team import model
from support.eventually import eventually

from fastchat.cli.main import main

TIME = "2026-11-23T04:00:00Z"


@pytest.fixture
def fastchat(team, api_server, monkeypatch, capsys):
    """Runs the command in the team's namespace: exit code, stdout, stderr."""
    monkeypatch.setenv("KUBECONFIG", str(api_server.kubeconfig))

    def run(*arguments):
        code = main([*arguments, f"--namespace={team.name}"])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def tell(team, name="vicuna", ready=("False", "Loading"), progressing=("True", "Updating"), message="", **status):
    """What an operator would write of a ModelDeployment."""
    kinds = {"Ready": ready, "Progressing": progressing, "GatewayReady": ("True", "Ready")}
    conditions = [
        {"type": kind, "status": truth, "reason": reason, "message": message, "lastTransitionTime": TIME}
        for kind, (truth, reason) in kinds.items()
    ]
    about = {"observedGeneration": 1, "ready": "0/1", "conditions": conditions, **status}
    team.patch("modeldeployments", f"{name}/status", {"status": about})


LOADS = {"phase": "Downloading", "done": "4.1Gi", "total": "13.5Gi", "percent": 30, "etaSeconds": 95}
LOADS["summary"] = "Downloading 30%, 95s left"
DONE = {"progressing": ("False", "Complete"), "progress": None}
SERVES = DONE | {"ready": ("True", "Ready"), "message": "1 of 1 workers ready"}
BROKEN = {
    "ready": ("False", "ModelLoadFailed"),
    "progressing": ("False", "ModelLoadFailed"),
    "message": "no such model",
}


# deploy


def test_a_model_is_deployed_by_options(fastchat, team):
    code, out, err = fastchat("deploy", "--model=hf://lmsys/vicuna-7b-v1.5", "--gpus=1", "--arg=--dtype=bfloat16")
    assert (code, out) == (0, "")
    assert err.startswith(f"vicuna-7b-v1.5 is applied in {team.name}; ")
    there = team.get("modeldeployments", "vicuna-7b-v1.5")
    assert (there["spec"]["gpus"], there["spec"]["engine"]["args"]) == (1, ["--dtype=bfloat16"])


def test_what_a_dry_run_prints_is_a_manifest_that_can_be_deployed(fastchat, team, tmp_path):
    options = ["--model=hf://org/name", "--name=m", "--max-replicas=4", "--replicas=0", "--engine=VLLM", "--secret=hf"]
    code, out, err = fastchat("deploy", *options, "--dry-run")
    assert (code, err) == (0, "")
    assert team.names("modeldeployments") == set()
    assert yaml.safe_load(out)["spec"] == {
        "model": {"source": "hf://org/name", "secretName": "hf"},
        "engine": {"type": "VLLM"},
        "autoscaling": {"minReplicas": 0, "maxReplicas": 4},
    }
    path = tmp_path / "m.yaml"
    path.write_text(out)
    assert fastchat("deploy", str(path))[0] == 0
    assert team.names("modeldeployments") == {"m"}


def test_what_is_wrong_with_a_file_is_named_by_its_line(fastchat, tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text(yaml.safe_dump(model("m", gpu=1)))
    code, out, err = fastchat("deploy", str(path))
    assert (code, out) == (1, "")
    assert f"{path}:" in err
    assert "spec.gpu" in err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "give manifests, or --model SOURCE"),
        (("--model=vicuna",), 1, "spec.model.source: has no scheme; use one of hf://"),
        (("--model=hf://org/name", "--gpus=x"), 2, "'x' is not a whole number from 0 to 64"),
        (("--model=hf://org/name", "--engine=vllm"), 1, "spec.engine.type"),
        (("no.yaml",), 1, "no.yaml: no such file or directory"),
        (("no.yaml", "--gpus=1"), 2, "a manifest says all of it"),
    ],
)
def test_what_cannot_be_deployed_is_told_in_a_line(fastchat, arguments, code, words):
    found, out, err = fastchat("deploy", *arguments)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert words in err


def test_a_manifest_of_another_namespace_is_not_moved(fastchat, tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text(yaml.safe_dump(model("m") | {"metadata": {"name": "m", "namespace": "other"}}))
    code, _, err = fastchat("deploy", str(path))
    assert code == 1
    assert "is for the namespace other" in err


# list, status, scale, delete


def test_they_are_listed_with_their_progress(fastchat, team):
    team.apply(model("vicuna"))
    tell(team, progress=LOADS)
    code, out, err = fastchat("list")
    assert (code, err) == (0, "")
    head, row = out.splitlines()
    assert head.split()[:3] == ["NAME", "MODEL", "ENGINE"]
    assert "0/1    Downloading 30%, 95s left  Loading" in row
    assert json.loads(fastchat("list", "--json")[1])[0]["status"]["progress"]["percent"] == 30


def test_where_there_is_none_it_says_what_makes_one(fastchat, team):
    said = f"no ModelDeployments in the namespace {team.name}; fastchat deploy makes one\n"
    assert fastchat("list") == (0, "", said)
    assert fastchat("list", "--json") == (0, "[]\n", "")


def test_the_status_has_the_root_cause_and_a_bar(fastchat, team):
    team.apply(model("vicuna"))
    tell(team, progress=LOADS, message="the model is being loaded")
    code, out, _ = fastchat("status", "vicuna")
    assert code == 0
    assert "state        Loading\nwhy          the model is being loaded\n" in out
    assert "progress     Downloading ███████─────────────────  30%  4.1Gi of 13.5Gi, 95s left\n" in out
    assert json.loads(fastchat("status", "vicuna", "--json")[1])["metadata"]["name"] == "vicuna"


def test_watching_ends_once_it_serves(fastchat, team, api_server):
    team.apply(model("vicuna"))
    tell(team, progress=LOADS)
    command = [sys.executable, "-m", "fastchat", "status", "vicuna", "--watch", f"--namespace={team.name}"]
    env = os.environ | {"KUBECONFIG": str(api_server.kubeconfig)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout.readline() == "vicuna 0/1 Loading: Downloading 30%, 95s left\n"
        tell(team, **SERVES)
        assert watching.wait(60) == 0
        assert watching.stdout.read() == "vicuna 0/1 Ready: 1 of 1 workers ready\n"


def test_watching_in_a_terminal_keeps_to_its_place(team, api_server):
    team.apply(model("vicuna"))
    tell(team, progress=LOADS)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "fastchat", "status", "vicuna", "--watch", f"--namespace={team.name}"]
    env = os.environ | {"KUBECONFIG": str(api_server.kubeconfig), "TERM": "xterm", "NO_COLOR": "", "COLUMNS": "120"}
    watching = subprocess.Popen(command, env=env, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""

    def shows(text):
        nonlocal said
        said += os.read(ours, 65536)
        return text in said

    eventually(lambda: shows(b"30%  4.1Gi of 13.5Gi, 95s left"))
    tell(team, **SERVES)
    eventually(lambda: shows(b"1 of 1 workers ready"))
    assert watching.wait(60) == 0
    assert b"\x1b[1A" in said  # the cursor goes up: the same lines are written again
    os.close(ours)


def test_watching_what_cannot_work_ends_with_its_cause(fastchat, team):
    team.apply(model("vicuna"))
    tell(team, **BROKEN)
    code, _, err = fastchat("status", "vicuna", "--watch", "--patience=0")
    assert code == 1
    assert err == "vicuna cannot get ready: ModelLoadFailed: no such model\n"


def test_one_that_is_not_there_is_told_in_a_line(fastchat):
    for command in (("status", "none"), ("scale", "none", "1"), ("delete", "none"), ("logs", "none")):
        code, out, err = fastchat(*command)
        assert (code, out) == (1, "")
        assert err == 'modeldeployments.fastchat.io "none" not found: list tells which there are, and in which ' + (
            "namespace is looked\n"
        )


def test_it_is_scaled_and_deleted(fastchat, team):
    team.apply(model("vicuna"))
    assert fastchat("scale", "vicuna", "3") == (0, "", "vicuna is to have 3 workers\n")
    assert team.get("modeldeployments", "vicuna")["spec"]["replicas"] == 3
    assert fastchat("scale", "vicuna", "-1")[0] == 2
    assert fastchat("delete", "vicuna")[0] == 0
    assert team.names("modeldeployments") == set()


def test_logs_are_of_one_thing(fastchat):
    for arguments in ((), ("vicuna", "--gateway")):
        code, _, err = fastchat("logs", *arguments)
        assert code == 2
        assert "give the NAME of a ModelDeployment, or --gateway" in err


# doctor


def found(said):
    """What was found wrong or unknown, by what it is about."""
    return {each["what"]: each for each in json.loads(said) if each["state"] != "ok"}


def test_a_cluster_without_an_operator_is_told_what_to_do(fastchat, team):
    team.apply(model("vicuna", gpus=2))
    tell(team, **BROKEN)
    code, out, err = fastchat("doctor", "--json")
    assert (code, err) == (1, "")
    wrong = found(out)
    assert wrong["operator"]["words"] == "no operator is installed"
    assert "Helm chart" in wrong["operator"]["remedy"]
    assert wrong["GPUs"]["words"] == "vicuna wants 2 nvidia.com/gpu a worker, and no node has more than 0"
    assert wrong["models"]["words"] == "vicuna: ModelLoadFailed: no such model"
    assert wrong["models"]["remedy"] == "fastchat logs vicuna"
    assert "CRD" not in wrong
    assert "rights" not in wrong


def test_it_is_readable(fastchat):
    code, out, _ = fastchat("doctor")
    assert code == 1
    assert "✓ CRD       ModelDeployments are known\n" in out
    assert "✗ operator  no operator is installed\n            → install FastChat's Helm chart" in out


def test_who_may_nothing_is_told_what_to_ask_for(fastchat, api_server, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(api_server.kubeconfig_for("nobody")))
    code, out, _ = fastchat("doctor", "--json")
    assert code == 1
    wrong = found(out)
    assert wrong["rights"]["words"].startswith("you may not: get modeldeployments, list modeldeployments")
    assert wrong["operator"]["state"] == "unknown"


def test_a_cluster_that_is_not_there_is_told_in_a_line(fastchat, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    code, out, err = fastchat("doctor")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "KUBECONFIG" in err
