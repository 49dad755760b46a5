"""`fastchat keys` with a real API server."""

import base64
import itertools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fastchat.cli.main import main
from fastchat.keys import store as keys
from fastchat.keys.record import KeyRecord, digest

RECORD = KeyRecord(sha256="0" * 64)
_NUMBERS = itertools.count()

Run = Callable[..., tuple[int, str, str]]
Read = Callable[[], dict[str, Any]]


@pytest.fixture
def namespace(api_server, monkeypatch) -> str:
    """A new one, in the cluster of the kubeconfig; no kubectl is on PATH."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("KUBECONFIG", str(api_server.kubeconfig))
    name = f"keys-{next(_NUMBERS)}"
    api_server.kubectl("create", "namespace", name)
    return name


@pytest.fixture
def run(namespace, capsys) -> Run:
    """Exit code, stdout and stderr of `fastchat keys`."""

    def command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        return main(["keys", *arguments, f"--namespace={namespace}"]), *capsys.readouterr()

    return command


@pytest.fixture
def secret(api_server, namespace) -> Read:
    """The Secret as the API server has it."""
    return lambda: json.loads(
        api_server.kubectl("get", "secret", "fastchat-keys", f"--namespace={namespace}", "--output=json")
    )


def test_the_first_key_makes_a_secret_that_holds_its_hash_only(run: Run, secret: Read) -> None:
    code, out, err = run("create", "alice", "--models=m", "--max-concurrent=2")
    key = out.removesuffix("\n").encode()
    kept = secret()
    assert code == 0
    assert "within about a minute" in err
    assert (kept["type"], kept["metadata"]["labels"]) == ("Opaque", {"app.kubernetes.io/part-of": "fastchat"})
    entry = json.loads(base64.b64decode(kept["data"]["alice"]))
    assert entry == {"sha256": digest(key).hex(), "models": ["m"], "maxConcurrent": 2}
    assert key.decode() not in json.dumps(kept)


def test_a_further_key_leaves_the_others_alone(run: Run, secret: Read) -> None:
    run("create", "alice")
    before = secret()["data"]["alice"]
    run("create", "bob")
    assert (secret()["data"].keys(), secret()["data"]["alice"]) == ({"alice", "bob"}, before)
    assert [line.split()[0] for line in run("list")[1].splitlines()] == ["NAME", "alice", "bob"]


def test_a_key_is_replaced_only_when_that_is_meant(run: Run, secret: Read) -> None:
    run("create", "alice")
    before = secret()["data"]["alice"]
    assert run("create", "alice")[0] == 1
    assert secret()["data"]["alice"] == before
    assert run("create", "alice", "--replace")[0] == 0
    assert secret()["data"]["alice"] != before


def test_keys_are_deleted_and_the_last_one_only_when_that_is_meant(run: Run, secret: Read) -> None:
    run("create", "alice")
    run("create", "bob")
    assert run("delete", "alice")[0] == 0
    assert secret()["data"].keys() == {"bob"}
    assert run("delete", "bob")[0] == 1
    assert run("delete", "bob", "--last")[0] == 0
    assert "data" not in secret()
    assert run("list") == (0, "", "no keys\n")
    assert run("create", "carol")[0] == 0


def test_people_who_create_keys_at_once_do_not_overwrite_each_other(namespace: str, secret: Read) -> None:
    names = [f"key-{number}" for number in range(4)]
    with ThreadPoolExecutor(4) as people:
        list(people.map(lambda name: keys.create(keys.Secret(namespace), name, RECORD, replace=False), names))
    assert secret()["data"].keys() == set(names)


def test_of_people_who_take_one_name_at_once_one_gets_it(namespace: str) -> None:
    def create(_: int) -> str:
        try:
            keys.create(keys.Secret(namespace), "alice", RECORD, replace=False)
        except keys.KeysError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(4) as people:
        answers = sorted(people.map(create, range(4)))
    assert answers[0] == ""
    assert all(answer.startswith("there is a key 'alice' already") for answer in answers[1:])


def test_the_last_key_stays_when_two_are_deleted_at_once(namespace: str, secret: Read) -> None:
    store = keys.Secret(namespace)
    for name in ("alice", "bob"):
        keys.create(store, name, RECORD, replace=False)

    def delete(name: str) -> bool:
        try:
            keys.delete(store, name, last=False)
        except keys.KeysError:
            return False
        return True

    with ThreadPoolExecutor(2) as people:
        assert sum(people.map(delete, ("alice", "bob"))) == 1
    assert len(secret()["data"]) == 1


@pytest.fixture
def nobody(api_server) -> str:
    """The kubeconfig of a user without any right; a program that it takes to make one has to be on PATH."""
    return str(api_server.kubeconfig_for("nobody"))


def test_what_the_api_server_refuses_is_said_in_its_words(nobody: str, run: Run, monkeypatch) -> None:
    monkeypatch.setenv("KUBECONFIG", nobody)
    code, out, err = run("create", "alice")
    assert (code, out) == (1, "")
    assert 'secrets "fastchat-keys" is forbidden: User "nobody" cannot get resource "secrets"' in err


def test_a_namespace_that_is_not_there_is_named(run: Run, api_server, capsys) -> None:
    assert main(["keys", "create", "alice", "--namespace=nowhere"]) == 1
    assert 'namespaces "nowhere" not found' in capsys.readouterr().err


def test_context_and_kubeconfig_say_which_cluster(
    api_server, namespace: str, run: Run, secret: Read, monkeypatch, tmp_path, capsys
) -> None:
    """The current context's cluster is not there."""
    config = json.loads(api_server.kubeconfig.read_text())
    meant = config["contexts"][0]["name"]
    config["clusters"].append({"name": "gone", "cluster": {"server": "https://127.0.0.1:1"}})
    config["contexts"].append({"name": "gone", "context": {"cluster": "gone", "user": config["users"][0]["name"]}})
    (tmp_path / "config").write_text(json.dumps(config | {"current-context": "gone"}))
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    here = f"--kubeconfig={tmp_path / 'config'}"
    assert run("create", "alice", here)[0] == 1
    assert run("create", "alice", here, f"--context={meant}")[0] == 0
    assert secret()["data"].keys() == {"alice"}


def test_the_namespace_is_the_contexts_where_none_is_said(
    api_server, namespace: str, secret: Read, monkeypatch, tmp_path
) -> None:
    config = json.loads(api_server.kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = namespace
    (tmp_path / "config").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    assert main(["keys", "create", "alice"]) == 0
    assert secret()["data"].keys() == {"alice"}


def test_a_cluster_that_is_away_is_an_error_in_a_line(monkeypatch, tmp_path, capsys) -> None:
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "c"}}
    (tmp_path / "config").write_text(json.dumps({"current-context": "c", "clusters": [cluster], "contexts": [context]}))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    assert main(["keys", "list"]) == 1
    assert "the Kubernetes API was not reached" in capsys.readouterr().err
