"""Real Prometheus scrapes a real operator, real gateways and real workers: each alert fires on its fault and clears.

What goes wrong does so for real: a worker is killed, rights are missing, requests fail, somebody else writes. Only the
times of the rules are shorter than the chart's. Faults come together, and so do the remedies.
"""

import itertools
import json
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import yaml
from cluster.skips import or_skip
from integration.operator.conftest import READ, ROOT, RULES, SYSTEM
from integration.operator.team import Namespace, model
from support.eventually import eventually
from support.gateways import GatewayProcess
from support.models.small import save_small
from support.monitoring.broken_workers import broken_worker
from support.monitoring.prometheus import Prometheus, Target, shortened
from support.operators import Operator
from support.workers import WorkerProcess

FILES = ROOT / "charts/fastchat/files"
RULES_OF_CHART = (FILES / "alerts.yaml").read_text()
ALERTS = {rule["alert"] for group in yaml.safe_load(RULES_OF_CHART)["groups"] for rule in group["rules"]}
QUERIES = [
    target["expr"]
    for panel in json.loads((FILES / "dashboard.json").read_text())["panels"]
    for target in panel.get("targets", ())
]
CONTESTED, NO_OPERATOR = "FastChatContested", "FastChatNoOperator"
OPERATOR, WATCHER, TOKEN = "monitored-operator", "monitored-gateway", "monitored"


@dataclass
class Cast:
    """What is scraped and broken, and whose namespaces are whose.

    Attributes:
        busy, lone: workers of a model each, with one slot
        gateway: of those, and of workers that are broken
        blind: follows the Kubernetes API with an account that may not
        watched, refused, lost: where the operator may do all, may only read, and may nothing
    """

    busy: WorkerProcess
    lone: WorkerProcess
    gateway: GatewayProcess
    blind: GatewayProcess
    watched: Namespace
    refused: Namespace
    lost: Namespace


@dataclass
class Seen:
    """What Prometheus said while things broke and were mended."""

    fired: set[str] = field(default_factory=set)
    shown: set[str] = field(default_factory=set)
    """Queries of the dashboard that had data."""
    once_mended: set[str] = field(default_factory=set)
    """Alerts that fired when the faults were gone."""
    without_operator: set[str] = field(default_factory=set)
    at_last: set[str] = field(default_factory=set)


class Repeated:
    """Does things again and again, each in a thread, until it is stopped."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def add(self, act: Callable[[], object], seconds: float = 0.2) -> None:
        def run() -> None:
            while not self._over.wait(seconds):
                with suppress(httpx.TransportError):
                    act()

        self._threads.append(threading.Thread(target=run, daemon=True))
        self._threads[-1].start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)


@pytest.fixture(scope="module")
def start_worker(tmp_path_factory) -> Iterator[Callable[..., WorkerProcess]]:
    folder = tmp_path_factory.mktemp("workers")
    path, started = save_small(tmp_path_factory.mktemp("small")), []

    def start(name: str, *options: str) -> WorkerProcess:
        own = (f"--model-name={name}", f"--model-path={path}", "--max-model-len=16384", "--max-batch-size=1")
        started.append(WorkerProcess(folder, *own, *options, env={"FASTCHAT_INTERNAL_TOKEN": TOKEN}))
        return started[-1]

    yield start
    for worker in started:
        worker.stop()


@pytest.fixture(scope="module")
def start_gateway() -> Iterator[Callable[..., GatewayProcess]]:
    started: list[GatewayProcess] = []

    def start(*arguments: str, **environ: str) -> GatewayProcess:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            started.append(GatewayProcess("--open-metrics", "--no-access-log", *arguments))
        return started[-1]

    yield start
    for gateway in started:
        gateway.popen.kill()
        gateway.popen.wait()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory) -> Iterator[Prometheus]:
    with or_skip():
        running = Prometheus(tmp_path_factory.mktemp("prometheus"), RULES_OF_CHART)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def bind(admin) -> Callable[..., None]:
    """Gives an account of the operators' namespace rights in another."""
    numbers = itertools.count(1)

    def bind(account: str, namespace: Namespace, rules: list[dict[str, Any]]) -> None:
        place, name = f"apis/rbac.authorization.k8s.io/v1/namespaces/{namespace.name}", f"{account}-{next(numbers)}"
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        subject = {"kind": "ServiceAccount", "name": account, "namespace": SYSTEM}
        admin.call("POST", f"{place}/roles", {"metadata": {"name": name}, "rules": rules})
        binding = {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]}
        admin.call("POST", f"{place}/rolebindings", binding)

    return bind


@pytest.fixture(scope="module")
def cast(make_account, make_namespace, start_gateway, start_worker, http) -> Iterator[Cast]:
    """Running, and asked for nothing yet."""
    busy, lone = start_worker("busy"), start_worker("lone")
    watched, refused, lost = (make_namespace() for _ in range(3))
    nobody = make_account(WATCHER, [], make_namespace())
    blind = start_gateway("--kubernetes", f"--namespace={watched.name}", KUBECONFIG=str(nobody))
    with ExitStack() as broken:
        errors = broken.enter_context(broken_worker("broken", "error"))
        torn = broken.enter_context(broken_worker("torn", "torn"))
        resets = [broken.enter_context(broken_worker("flaky", "reset")) for _ in range(4)]
        workers = [f"--worker={url}" for url in (busy.wait_ready().url, lone.wait_ready().url, errors, torn, *resets)]
        gateway = start_gateway(*workers, "--queue-max-requests=3", FASTCHAT_INTERNAL_TOKEN=TOKEN)
        eventually(lambda: serves(http, gateway.url, {"busy", "lone", "broken", "torn", "flaky"}))
        yield Cast(busy, lone, gateway, blind, watched, refused, lost)


def serves(http: httpx.Client, url: str, names: set[str]) -> bool:
    with suppress(httpx.TransportError):
        return names <= {each["id"] for each in http.get(f"{url}/v1/models").json().get("data", ())}
    return False


@pytest.fixture(scope="module")
def operate(cast, bind, make_account, start_operator, prometheus) -> Callable[[], Operator]:
    """Starts an operator that may do little in one namespace, and nothing in another; it is scraped with the rest."""
    account = make_account(OPERATOR, RULES, cast.watched)
    bind(OPERATOR, cast.refused, [{**rule, "verbs": READ} for rule in RULES if "resourceNames" not in rule])
    namespaces = [each.name for each in (cast.watched, cast.refused, cast.lost)]

    def operate() -> Operator:
        operator = start_operator(account, namespaces=namespaces, resyncSeconds=1)
        prometheus.scrape(targets(cast, operator))
        return operator

    return operate


def targets(cast: Cast, operator: Operator) -> list[Target]:
    """With the labels that PodMonitors give."""
    team = {"namespace": "team-a"}
    return [
        Target(int(cast.gateway.url.rpartition(":")[2]), team | {"pod": "gateway-1"}),
        Target(int(cast.blind.url.rpartition(":")[2]), {"namespace": cast.watched.name, "pod": "gateway-2"}),
        Target(cast.busy.port, team | {"pod": "busy-1", "model_deployment": "busy"}),
        Target(cast.lone.port, team | {"pod": "lone-1", "model_deployment": "lone"}),
        Target(operator.health_port, {"namespace": SYSTEM, "pod": "operator-1"}),
    ]


def stream(url: str, name: str, tokens: int) -> socket.socket:
    """A connection with a stream that was asked for; closed, the client is gone."""
    host, port = url.removeprefix("http://").split(":")
    body = json.dumps({"model": name, "prompt": "Once", "stream": True, "ignore_eos": True, "max_tokens": tokens})
    connection = socket.create_connection((host, int(port)))
    head = f"POST /v1/completions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
    connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
    return connection


def ask(http: httpx.Client, cast: Cast, name: str, **fields: Any) -> httpx.Response:
    body = {"model": name, "prompt": "Once", "max_tokens": 4} | fields
    return http.post(f"{cast.gateway.url}/v1/completions", json=body)


def lose_a_worker(http: httpx.Client, cast: Cast) -> list[socket.socket]:
    """Kill the only worker of a model in the middle of a stream, and ask for more than may wait."""
    begun = stream(cast.gateway.url, "lone", 16_000)
    eventually(lambda: "fastchat_gateway_streams 1.0" in http.get(f"{cast.gateway.url}/metrics").text)
    cast.lone.process.send_signal(signal.SIGKILL)
    return [begun, *(stream(cast.gateway.url, "lone", 4) for _ in range(3))]


def break_everything(http: httpx.Client, cast: Cast, faults: Repeated) -> list[socket.socket]:
    """Cause all that can go wrong while an operator runs; the streams that are open."""
    cast.watched.apply(model("contested"), model("scaled", autoscaling={"maxReplicas": 2}))
    cast.refused.apply(*(model(f"m{number}") for number in range(12)))
    eventually(lambda: cast.watched.get("deployments", "contested-worker"))
    assert ask(http, cast, "busy").status_code == 200
    streams = lose_a_worker(http, cast) + [stream(cast.gateway.url, "busy", 16_000) for _ in range(4)]
    faults.add(lambda: cast.watched.patch("deployments", "contested-worker", {"spec": {"replicas": 7}}))
    for name in ("lone", "broken", "flaky"):
        faults.add(lambda name=name: ask(http, cast, name))
    faults.add(lambda: ask(http, cast, "torn", stream=True))
    faults.add(lambda: http.get(f"{cast.busy.url}/v1/models"))  # past the gateway, without the internal token
    return streams


def show(prometheus: Prometheus, seen: Seen) -> None:
    """Note which queries of the dashboard have data now."""
    for expression in set(QUERIES) - seen.shown:
        if prometheus.query(filled(expression)):
            seen.shown.add(expression)


def filled(expression: str) -> str:
    """A query of the dashboard for all namespaces and models."""
    text = expression.replace("$__rate_interval", "10s").replace("$namespace", ".*").replace("$model", ".*")
    assert "$" not in text, expression
    return text


class Watch:
    """Waits for what Prometheus says, and notes what it says meanwhile."""

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus, self.seen = prometheus, Seen()

    def until(self, enough: Callable[[set[str]], object]) -> set[str]:
        """The alerts that fire as soon as these are enough."""
        firing: set[str] = set()

        def look() -> object:
            show(self._prometheus, self.seen)
            firing.clear()
            firing.update(self._prometheus.firing())
            return enough(firing)

        eventually(look, said=lambda: f"firing: {firing}, no data: {set(QUERIES) - self.seen.shown}")
        return firing

    def until_all_have_fired(self, alerts: set[str]) -> None:
        self.until(lambda firing: self.seen.fired.update(firing) or alerts <= self.seen.fired)

    def until_all_is_shown(self) -> None:
        self.until(lambda _: set(QUERIES) <= self.seen.shown)


def mend(cast: Cast, bind: Callable[..., None], start_worker: Callable[..., WorkerProcess]) -> None:
    """Start a worker in place of the one that was killed, and give the accounts their rights."""
    start_worker("lone", f"--port={cast.lone.port}")
    bind(WATCHER, cast.watched, RULES)
    for namespace in (cast.refused, cast.lost):
        bind(OPERATOR, namespace, RULES)
    for name in cast.refused.names("modeldeployments"):  # not after a minute, which a refusal is left alone for
        cast.refused.patch("modeldeployments", name, {"spec": {"replicas": 2}})
    eventually(lambda: cast.lone.status() == 200)


@pytest.fixture(scope="module")
def seen(cast, http, bind, operate, prometheus, start_worker) -> Seen:
    """Breaks everything, mends it, takes the operator away, and starts it again."""
    watch, faults, operator = Watch(prometheus), Repeated(), operate()
    watch.until(lambda firing: NO_OPERATOR not in firing)
    streams = break_everything(http, cast, faults)
    watch.until_all_have_fired(ALERTS - {NO_OPERATOR})
    faults.stop()
    mend(cast, bind, start_worker)
    watch.until_all_is_shown()
    for connection in streams:
        connection.close()
    watch.seen.once_mended = watch.until(lambda firing: firing <= {CONTESTED})
    operator.stop(signal.SIGKILL)
    watch.seen.without_operator = watch.until(lambda firing: firing == {NO_OPERATOR})
    operate()
    watch.seen.at_last = watch.until(lambda firing: not firing)
    return watch.seen


@pytest.mark.parametrize("alert", sorted(ALERTS - {NO_OPERATOR}))
def test_an_alert_fires_on_its_fault(seen, alert):
    assert alert in seen.fired


@pytest.mark.parametrize("alert", sorted(ALERTS - {NO_OPERATOR, CONTESTED}))
def test_an_alert_clears_when_its_fault_is_gone(seen, alert):
    assert alert not in seen.once_mended


def test_without_an_operator_that_alone_is_told(seen):
    """A contest is remembered by the operator for five minutes, and goes with its process here."""
    assert seen.without_operator == {NO_OPERATOR}
    assert seen.at_last == set()


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_of_the_dashboard_has_data(seen, query):
    assert query in seen.shown


def test_ranges_that_are_not_shortened_are_found():
    with pytest.raises(AssertionError, match="WINDOWS"):
        shortened("expr: rate(a[1h])")
