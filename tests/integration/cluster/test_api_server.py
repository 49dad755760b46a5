"""The API server that the operator's tests run against: real authorization, real storage, and faults on demand."""

import subprocess
import time

import pytest
from cluster.tools.binaries import api_server_tools

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\n"


@pytest.fixture
def reader(api_server):
    """A ServiceAccount that may get ConfigMaps of its namespace, and nothing else."""
    api_server.kubectl("create", "namespace", "reading")
    api_server.kubectl("--namespace=reading", "create", "serviceaccount", "reader")
    api_server.kubectl("--namespace=reading", "create", "role", "reader", "--verb=get,list", "--resource=configmaps")
    binding = ["create", "rolebinding", "reader", "--role=reader", "--serviceaccount=reading:reader"]
    api_server.kubectl("--namespace=reading", *binding)
    yield api_server.service_account("reading", "reader")
    api_server.kubectl("delete", "namespace", "reading", "--wait=false")


def as_reader(kubeconfig, *arguments):
    command = [api_server_tools()["kubectl"], f"--kubeconfig={kubeconfig}", "--namespace=reading", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_service_account_may_do_what_its_role_says_and_no_more(api_server, reader):
    assert as_reader(reader, "get", "configmaps").returncode == 0
    refused = as_reader(reader, "get", "secrets")
    assert 'User "system:serviceaccount:reading:reader" cannot list resource "secrets"' in refused.stderr


def test_what_is_stored_outlives_a_restart_on_the_same_port(api_server):
    url = api_server.url
    api_server.kubectl("apply", "--filename=-", input=CONFIG_MAP.replace("NAME", "kept"))
    api_server.stop()
    api_server.start()
    assert api_server.url == url
    assert api_server.kubectl("get", "configmap", "kept", "--output=name") == "configmap/kept\n"


def test_a_paused_server_takes_connections_and_answers_when_resumed(api_server):
    api_server.pause()
    try:
        with pytest.raises(RuntimeError, match=r"timeout|deadline"):
            api_server.kubectl("get", "namespaces", "--request-timeout=1s")
    finally:
        api_server.resume()
    assert "kube-system" in api_server.kubectl("get", "namespaces")


def test_writes_are_told_by_the_client_that_made_them(api_server):
    name = f"written-{time.time_ns()}"
    before = api_server.writes("kubectl/")
    api_server.kubectl("apply", "--filename=-", input=CONFIG_MAP.replace("NAME", name))
    assert api_server.writes("kubectl/")[len(before) :] == [f"create configmaps default/{name}"]


def test_reads_refusals_and_dry_runs_are_no_writes(api_server):
    before = api_server.writes("kubectl/")
    api_server.kubectl("get", "namespaces")
    api_server.kubectl("create", "configmap", "dry", "--dry-run=server")
    with pytest.raises(RuntimeError, match="already exists"):
        api_server.kubectl("create", "namespace", "default")
    assert api_server.writes("kubectl/") == before
