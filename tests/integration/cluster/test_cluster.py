"""The single-node cluster of the e2e tests: what they rely on holds, and nothing of it is left behind."""

import functools
import http.server
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from cluster.node import machine
from cluster.node.slot import Slot
from support.eventually import eventually

CLUSTER = Path(__file__).parents[2] / "cluster"


@pytest.fixture
def namespace(local_cluster):
    """A namespace of the test's own."""
    name = f"test-{time.time_ns()}"
    local_cluster.kubectl("create", "namespace", name)
    yield name
    local_cluster.kubectl("delete", "namespace", name, "--wait=false")


def start(cluster, namespace, name, *arguments, container=None, **spec):
    """Start a pod of the cluster's own image."""
    container = {"name": "pod", "image": cluster.pod_image, "args": arguments} | (container or {})
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container]} | spec
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name}}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


def pod(cluster, namespace, name, *arguments, **spec):
    """Start a pod and wait until it is ready."""
    start(cluster, namespace, name, *arguments, **spec)
    cluster.kubectl("wait", "--namespace", namespace, "--for=condition=Ready", f"pod/{name}", "--timeout=180s")


def web_server(cluster, namespace, name):
    """A pod that answers with its name, behind a Service of that name."""
    pod(cluster, namespace, name, "serve", ":8080")
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}
    metadata = {"name": name, "namespace": namespace}
    cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})


def get(cluster, namespace, name, url):
    return cluster.kubectl("exec", "--namespace", namespace, name, "--", "/pod", "get", url)


def at_last(cluster, namespace, name, url):
    """What a pod gets; kube-proxy and CoreDNS hear of a new Service in their own time."""
    return eventually(lambda: get(cluster, namespace, name, url), ignoring=(RuntimeError,))


def test_a_pod_is_reached_by_the_name_of_its_service_from_others_and_from_itself(local_cluster, namespace):
    web_server(local_cluster, namespace, "web")
    pod(local_cluster, namespace, "client")
    url = f"http://web.{namespace}.svc.cluster.local"
    assert at_last(local_cluster, namespace, "client", url) == "web\n"
    assert at_last(local_cluster, namespace, "web", url) == "web\n"


def test_a_process_in_the_node_reaches_pods_by_their_address(local_cluster, namespace):
    web_server(local_cluster, namespace, "web")
    address = local_cluster.kubectl("get", "pod", "web", "-n", namespace, "-o", "jsonpath={.status.podIP}")
    script = f"import urllib.request; print(urllib.request.urlopen('http://{address}:8080').read())"
    answer = local_cluster.run_in_node([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout == "b'web\\n'\n"


def test_a_pod_reaches_a_server_on_this_machine(local_cluster, namespace, tmp_path):
    (tmp_path / "hello").write_text("from the test")
    serve = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    pod(local_cluster, namespace, "client")
    with http.server.ThreadingHTTPServer((local_cluster.host_address, 0), serve) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            url = f"http://{local_cluster.host_address}:{server.server_port}/hello"
            assert get(local_cluster, namespace, "client", url) == "from the test"
        finally:
            server.shutdown()


def test_logs_come_from_the_node(local_cluster, namespace):
    web_server(local_cluster, namespace, "web")
    assert "serving on :8080" in local_cluster.kubectl("logs", "--namespace", namespace, "web")


def test_a_restricted_namespace_refuses_a_privileged_pod(local_cluster, namespace):
    local_cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    with pytest.raises(RuntimeError, match='violates PodSecurity "restricted:latest": privileged'):
        pod(local_cluster, namespace, "privileged", container={"securityContext": {"privileged": True}})


def test_a_pod_that_wants_a_gpu_waits_until_the_node_offers_one(local_cluster, namespace):
    start(local_cluster, namespace, "trainer", container={"resources": {"limits": {"example.com/gpu": 1}}})
    wait = ("wait", "pod/trainer", "--namespace", namespace, "--timeout=180s")
    local_cluster.kubectl(*wait, "--for=condition=PodScheduled=False")
    local_cluster.offer("example.com/gpu", 1)
    try:
        local_cluster.kubectl(*wait, "--for=condition=PodScheduled")
    finally:
        local_cluster.offer("example.com/gpu", None)


def test_a_pod_reads_what_lies_in_its_volume(local_cluster, namespace):
    (local_cluster.volume(namespace, "weights") / "hello").write_text("from the test")
    pod(
        local_cluster,
        namespace,
        "reader",
        container={"volumeMounts": [{"name": "weights", "mountPath": "/weights"}]},
        volumes=[{"name": "weights", "persistentVolumeClaim": {"claimName": "weights"}}],
    )
    assert get(local_cluster, namespace, "reader", "file:///weights/hello") == "from the test"


def test_pods_go_on_while_the_api_server_is_stopped(local_cluster, namespace):
    web_server(local_cluster, namespace, "web")
    address = local_cluster.kubectl("get", "service", "web", "-n", namespace, "-o", "jsonpath={.spec.clusterIP}")
    prove = [sys.executable, "-c", f"import urllib.request; urllib.request.urlopen('http://{address}', timeout=5)"]
    eventually(lambda: local_cluster.run_in_node(prove).returncode == 0)
    local_cluster.stop("kube-apiserver")
    try:
        with pytest.raises(RuntimeError, match="refused"):
            local_cluster.kubectl("get", "nodes")
        local_cluster.run_in_node(prove, check=True)
    finally:
        local_cluster.start("kube-apiserver")
    assert "web" in local_cluster.kubectl("get", "pods", "--namespace", namespace)


def test_packets_to_the_api_server_are_lost_in_silence(local_cluster, namespace):
    pod(local_cluster, namespace, "client")
    address = local_cluster.kubectl("get", "pod", "client", "-n", namespace, "-o", "jsonpath={.status.podIP}")
    url = "http://kubernetes.default.svc.cluster.local:443"  # plain HTTP is refused in words, so the words arrive

    def said():
        with pytest.raises(RuntimeError) as refusal:
            get(local_cluster, namespace, "client", url)
        return str(refusal.value)

    eventually(lambda: "400 Bad Request" in said(), said=said)
    local_cluster.drop_api_traffic([address])
    try:
        assert re.search("deadline exceeded|Timeout", said())
    finally:
        local_cluster.restore()
    eventually(lambda: "400 Bad Request" in said(), said=said)


@pytest.fixture
def other_checkout(local_cluster, tmp_path):
    """A copy of the cluster's code elsewhere, run from there; `local_cluster` has a slot already."""
    folder = tmp_path / "tests" / "cluster"
    shutil.copytree(CLUSTER, folder, ignore=shutil.ignore_patterns("__pycache__"))

    def run(*arguments):
        command = [sys.executable, "-m", "cluster", *arguments]
        environment = os.environ | {"PYTHONPATH": str(folder.parent)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield run
    run("down")


def left_of(slot):
    """Whatever this machine still has of the cluster in a slot."""
    links = subprocess.run(["ip", "-oneline", "link"], capture_output=True, text=True, check=True).stdout
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    processes = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
    found = [line for line in links.splitlines() if f" {slot.link}@" in line]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if str(slot.run) in line]
    found += [line for line in rules.splitlines() if "kube-proxy" in line or "machine" in line]
    found += [command.decode() for command in processes if str(slot.folder).encode() in command]
    found += Path("/sys/fs/cgroup").glob(f"**/{slot.cgroup}")
    return found


@pytest.mark.parametrize("crash", [False, True], ids=["alive", "killed"])
def test_a_second_checkout_has_a_cluster_of_its_own_and_down_leaves_nothing_of_it(local_cluster, other_checkout, crash):
    other_checkout("up")
    kubeconfig = Path(other_checkout("kubeconfig").strip())
    slot = Slot(int(kubeconfig.parents[1].name))
    assert kubeconfig != local_cluster.kubeconfig
    assert left_of(slot)
    if crash:
        os.kill(machine.first_process(slot), signal.SIGKILL)
    other_checkout("down")
    assert left_of(slot) == []
    assert local_cluster.kubectl("get", "node", "fastchat", "--output=name") == "node/fastchat\n"


ASKS = """
def test_it_is_given(cluster):
    assert cluster.external
    assert "kube-system" in cluster.kubectl("get", "namespaces")


def test_it_has_no_node(local_cluster):
    pass
"""


def test_a_cluster_that_kubeconfig_names_is_used_and_its_node_left_alone(local_cluster, tmp_path):
    named = tmp_path / "named.kubeconfig"
    named.write_text(local_cluster.kubeconfig.read_text())
    (tmp_path / "test_it.py").write_text(ASKS)
    names = {"KUBECONFIG": str(named), "FASTCHAT_TEST_REGISTRY": local_cluster.registry_push_url}
    environment = os.environ | names | {"PYTHONPATH": str(CLUSTER.parent)}
    command = [sys.executable, "-m", "pytest", "-p", "cluster.fixtures", "-rs", "--rootdir", tmp_path, tmp_path]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert "1 passed, 1 skipped" in done.stdout
    assert "reaches into the node" in done.stdout
