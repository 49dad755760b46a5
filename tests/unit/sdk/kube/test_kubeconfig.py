"""What a kubeconfig says; files are real, the clusters are not."""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fastchat._kube.access import Access, in_cluster
from fastchat._kube.errors import CredentialsError
from fastchat._kube.kubeconfig import load, paths
from fastchat._kube.location import for_a_person, for_a_program

Write = Callable[..., Path]


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def config(name: str = "a", user: dict[str, Any] | None = None, *, current: bool = True, **cluster: Any) -> Any:
    """One context, with a cluster and a user of the same name."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        **({"current-context": name} if current else {}),
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": f"team-{name}"}}],
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}:6443/", **cluster}}],
        "users": [{"name": name, "user": user}],
    }


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(said: Any, name: str = "config") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(said))
        return path

    return write


@pytest.fixture
def authorization(write: Write) -> Callable[[dict[str, Any]], str | None]:
    """What is sent for a user."""
    return lambda user: load([write(config(user=user))]).credentials.authorization()


def test_the_current_context_says_cluster_and_namespace(write: Write) -> None:
    access = load([write(config("a", {"token": "t"}))])
    assert (access.server, access.namespace, access.verify) == ("https://a:6443", "team-a", True)


def test_another_context_can_be_meant(write: Write) -> None:
    files = [write(config("a", {"token": "t"})), write(config("b", {"token": "t"}), "other")]
    assert load(files, "b").server == "https://b:6443"
    with pytest.raises(CredentialsError, match="there is no context 'c'"):
        load(files, "c")


def test_of_several_files_the_first_to_say_something_counts_as_with_kubectl(write: Write) -> None:
    first = write(config("a", {"token": "first"}, current=False), "one")
    second = write(config("b", {"token": "second"}), "two")
    third = write(config("a", {"token": "third"}), "three")
    assert load([first, second, third]).server == "https://b:6443"
    assert load([first, second, third], "a").credentials.authorization() == "Bearer first"


def test_the_files_are_those_of_the_variable_that_exist_unless_one_is_named(write: Write) -> None:
    there = write(config())
    environ = {"KUBECONFIG": os.pathsep.join(["/nowhere", "", str(there)])}
    assert paths(None, environ) == [there]
    assert paths("/named", environ) == [Path("/named")]


def test_a_token_goes_before_a_program_and_that_before_a_password(
    authorization: Callable[[dict[str, Any]], str | None],
) -> None:
    program = {"apiVersion": "client.authentication.k8s.io/v1", "command": "false"}
    password = {"username": "me", "password": "secret"}
    assert authorization({"token": "t", "exec": program, **password}) == "Bearer t"
    assert authorization(password) == f"Basic {base64_of('me:secret')}"
    with pytest.raises(CredentialsError, match="false gives no credentials"):
        authorization({"exec": program, **password})
    assert authorization({}) is None


def test_a_token_in_a_file_is_read_without_the_end_of_its_line_and_again_once_it_was_refused(
    write: Write, tmp_path: Path
) -> None:
    """Its path is relative to the kubeconfig."""
    credentials = load([write(config(user={"tokenFile": "token"}), "folder/config")]).credentials
    file = tmp_path / "folder" / "token"
    file.write_text("one\n")
    assert credentials.authorization() == "Bearer one"
    file.write_text("two\n")
    assert credentials.authorization() == "Bearer one"
    credentials.forget()
    assert credentials.authorization() == "Bearer two"
    file.write_text("\n")
    credentials.forget()
    with pytest.raises(CredentialsError, match="there is no token in"):
        credentials.authorization()


def test_certificates_come_inline_or_from_files_beside_the_kubeconfig(write: Write, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("authority")
    user = {"client-certificate-data": base64_of("certificate"), "client-key-data": base64_of("key")}
    access = load([write(config(user=user, **{"certificate-authority": "ca.crt"}))])
    shown = access.credentials.certificate()
    assert shown is not None
    assert (access.authority, shown.certificate, shown.key) == (b"authority", b"certificate", b"key")
    assert "key'" not in repr(shown)
    with pytest.raises(CredentialsError, match="a certificate or key cannot be read"):
        load([write(config(user={"client-certificate": "missing", "client-key": "missing"}))])


def test_how_to_reach_a_cluster_is_passed_on(write: Write) -> None:
    said = {"insecure-skip-tls-verify": True, "tls-server-name": "api", "proxy-url": "http://proxy:3128"}
    access = load([write(config(**said))])
    assert (access.verify, access.server_name, access.proxy) == (False, "api", "http://proxy:3128")
    assert access.tls().check_hostname is False


def test_whom_one_acts_as_is_sent(write: Write) -> None:
    access = load([write(config(user={"as": "jane", "as-groups": ["a", "b"]}))])
    assert access.headers == (("Impersonate-User", "jane"), ("Impersonate-Group", "a"), ("Impersonate-Group", "b"))


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({}, "there is no current context"),
        ({"current-context": "a"}, "there is no context 'a'"),
        (config() | {"clusters": []}, "there is no cluster 'a'"),
        (config() | {"users": None}, "there is no user 'a'"),
        (config() | {"clusters": [{"name": "a", "cluster": {}}]}, "the cluster 'a' cannot be used: server"),
        ("text", "config cannot be used"),
        (config(user={"auth-provider": {"name": "oidc"}}), "auth-provider is not supported"),
    ],
)
def test_what_is_missing_or_wrong_is_named(write: Write, said: Any, wrong: str) -> None:
    with pytest.raises(CredentialsError, match=wrong):
        load([write(said)])


def test_what_is_wrong_with_a_secret_does_not_tell_it(write: Write) -> None:
    with pytest.raises(CredentialsError) as caught:
        load([write(config(user={"token": ["my-secret-token"]}))])
    assert "my-secret-token" not in str(caught.value)


# Programs


@pytest.fixture
def program(write: Write, tmp_path: Path) -> Callable[..., Access]:
    """Access by a program that prints a status, counts its runs and keeps what it was told."""

    def program(status: dict[str, Any], **said: Any) -> Access:
        printed = json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "status": status})
        script = tmp_path / "plugin"
        script.write_text(
            f"#!/bin/sh\necho $WHO >> runs\necho $KUBERNETES_EXEC_INFO > told\ncat <<'END'\n{printed}\nEND\n"
        )
        script.write_text(
            script.read_text().replace("runs", str(tmp_path / "runs")).replace("told", str(tmp_path / "told"))
        )
        script.chmod(0o700)
        plugin = {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "./plugin",
            "env": [{"name": "WHO", "value": "me"}],
            **said,
        }
        return load([write(config(user={"exec": plugin}))])

    return program


def test_a_program_gives_a_token_which_is_kept_until_it_expires_or_is_refused(
    program: Callable[..., Access], tmp_path: Path
) -> None:
    credentials = program({"token": "t", "expirationTimestamp": "2999-01-01T00:00:00Z"}).credentials
    assert credentials.blocks
    assert (credentials.authorization(), credentials.authorization()) == ("Bearer t", "Bearer t")
    assert not credentials.blocks
    assert (tmp_path / "runs").read_text() == "me\n"
    credentials.forget()
    credentials.authorization()
    expired = program({"token": "t", "expirationTimestamp": "2026-01-01T00:00:00Z"}).credentials
    assert (expired.authorization(), expired.authorization()) == ("Bearer t", "Bearer t")
    assert (tmp_path / "runs").read_text() == "me\n" * 4


def test_a_program_gives_a_certificate(program: Callable[..., Access]) -> None:
    credentials = program({"clientCertificateData": "certificate", "clientKeyData": "key"}).credentials
    shown = credentials.certificate()
    assert shown is not None
    assert (shown.certificate, shown.key, credentials.authorization()) == (b"certificate", b"key", None)


def test_a_program_is_told_of_the_cluster_where_it_asks(program: Callable[..., Access], tmp_path: Path) -> None:
    program({"token": "t"}, provideClusterInfo=True, interactiveMode="Never").credentials.authorization()
    told = json.loads((tmp_path / "told").read_text())
    assert told["kind"] == "ExecCredential"
    assert told["spec"] == {"interactive": False, "cluster": {"server": "https://a:6443/"}}


@pytest.mark.parametrize("status", [{}, {"token": ""}, {"clientCertificateData": "c"}])
def test_a_program_that_gives_nothing_is_an_error(program: Callable[..., Access], status: dict[str, Any]) -> None:
    with pytest.raises(CredentialsError, match="gives no credentials"):
        program(status).credentials.authorization()


def test_a_program_that_is_not_there_is_named_with_how_to_install_it(program: Callable[..., Access]) -> None:
    with pytest.raises(CredentialsError, match=r"nowhere-plugin.*; apt install it"):
        program({}, command="nowhere-plugin", installHint="apt install it").credentials.authorization()


# Pods


@pytest.fixture
def pod(tmp_path: Path) -> Path:
    """The folder of a ServiceAccount."""
    for name, text in (("token", "t\n"), ("ca.crt", "authority"), ("namespace", "team")):
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_pod_knows_its_cluster_its_namespace_and_its_token(pod: Path) -> None:
    access = in_cluster({"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}, pod)
    assert access is not None
    assert (access.server, access.namespace, access.authority) == ("https://[fd00::1]:443", "team", b"authority")
    assert access.credentials.authorization() == "Bearer t"


def test_what_has_no_token_is_no_pod(pod: Path) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    assert in_cluster({}, pod) is None
    (pod / "token").unlink()
    assert in_cluster(environ, pod) is None


def test_programs_prefer_their_pod_and_people_their_kubeconfig(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastchat._kube.location.in_cluster", lambda: Access("https://pod"))
    monkeypatch.setenv("KUBECONFIG", str(write(config())))
    assert for_a_program().server == "https://pod"
    assert for_a_program(os.environ["KUBECONFIG"]).server == "https://a:6443"
    assert for_a_person().server == "https://a:6443"
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    assert for_a_person().server == "https://pod"


def test_without_a_kubeconfig_or_a_pod_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    for find in (for_a_program, for_a_person):
        with pytest.raises(CredentialsError, match="there is no kubeconfig"):
            find()
