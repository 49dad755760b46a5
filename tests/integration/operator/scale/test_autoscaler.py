"""The autoscaler before a real API server, on the word of real gateways with real requests."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from integration.operator.pods import Gateway, Worker, place, until
from integration.operator.team import model
from support.eventually import eventually

from fastchat._kube.errors import ApiError
from fastchat._kube.kubeconfig import load
from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat_operator.kube.api import Api
from fastchat_operator.reconcile.applier import rescale
from fastchat_operator.scale.autoscaler import COST


@pytest.fixture
def operator(start_operator, team):
    return start_operator(namespaces=[team.name])


@pytest.fixture
def start(team, operator, api_server, addresses):
    """Starts gateways and workers."""
    started = []

    def start_one(what, *arguments):
        pod = what(team, *arguments[:1], next(addresses), *arguments[1:])
        started.append(pod)
        return pod

    yield start_one
    for pod in started:
        pod.stop()


@pytest.fixture
def deploy(team):
    """Applies a model, and waits until everything is made for it."""

    def apply(name="m", replicas=1, **autoscaling):
        scaling = {"minReplicas": 0, "maxReplicas": 4, "targetRequests": 1, "scaleDownDelaySeconds": 2}
        team.apply(model(name, replicas=replicas, autoscaling=scaling | autoscaling))
        eventually(lambda: team.get("deployments", "fastchat-gateway") and team.get("deployments", f"{name}-worker"))
        team.count(f"{name}-worker", replicas=replicas, updatedReplicas=replicas)

    return apply


@pytest.fixture
def pool():
    with ThreadPoolExecutor(16) as pool:
        yield pool


def replicas(team, name="m"):
    return team.get("modeldeployments", name)["spec"]["replicas"]


def becomes(team, number, name="m"):
    """Seconds until a model has so many replicas, and its Deployment too."""
    began = time.monotonic()
    eventually(lambda: replicas(team, name) == number)
    took = time.monotonic() - began
    eventually(lambda: team.get("deployments", f"{name}-worker")["spec"]["replicas"] == number)
    return took


def reports(team, number, name="m"):
    """The Deployment's controller has looked."""
    team.count(f"{name}-worker", replicas=number, updatedReplicas=number, readyReplicas=number)


def metrics(operator):
    """Series: value, as text."""
    text = httpx.get(f"http://127.0.0.1:{operator.health_port}/metrics", trust_env=False).text
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


def of(gauge, team):
    """Name of a gauge's series of model m."""
    return f'fastchat_operator_{gauge}{{model="m",namespace="{team.name}"}}'


def scale_writes(api_server, team):
    return [each for each in api_server.writes("fastchat-operator") if f"modeldeployments/scale {team.name}/" in each]


# --- up and down


def test_the_first_request_starts_a_worker_and_after_the_delay_it_goes(team, deploy, start, api_server, pool):
    deploy(replicas=0)
    gateway = start(Gateway, api_server.kubeconfig)
    eventually(
        lambda: team.condition("m", "Autoscaling") == ("True", "Following", "as many workers as the demand is for")
    )
    assert team.condition("m")[2] == "no worker runs: nobody asks; the first request starts one"
    asked = pool.submit(gateway.ask, "m")
    took = becomes(team, 1)
    print(f"from zero after {took:.2f} s")
    assert ("ScaledUp", "0 → 1 workers: 1 sequence in flight and held, 1 per worker") in eventually(
        lambda: [each for each in team.events("m") if each[0] == "ScaledUp"]
    )
    place(team, "m", start(Worker, "m", 0.1))
    reports(team, 1)
    assert asked.result(60).status_code == 200
    assert becomes(team, 0) > 1.5
    eventually(lambda: "ScaledDown" in dict(team.events("m")))


def test_the_demand_of_two_gateways_is_one(team, deploy, start, api_server, pool):
    deploy(replicas=0)
    gateways = [start(Gateway, api_server.kubeconfig) for _ in range(2)]
    for gateway in gateways:
        for _ in range(2):
            pool.submit(gateway.ask, "m")
    becomes(team, 4)
    place(team, "m", start(Worker, "m", 0.1))


def test_the_idle_worker_is_marked_for_the_end_and_running_streams_keep_theirs(team, deploy, start, api_server, pool):
    deploy(replicas=2, scaleDownDelaySeconds=1)
    busy, idle = (start(Worker, "m", 6) for _ in range(2))
    place(team, "m", busy)
    gateway = start(Gateway, api_server.kubeconfig)
    stream = pool.submit(gateway.ask, "m", True)
    reports(team, 2)
    becomes(team, 1)
    assert (busy.annotations.get(COST, "0"), idle.annotations.get(COST, "0")) == ("1", "0")
    reports(team, 1)
    time.sleep(2)
    assert replicas(team) == 1
    assert stream.result(60).text.rstrip().endswith("[DONE]")
    becomes(team, 0)


# --- what keeps workers


def test_a_frozen_gateway_stops_no_worker_and_is_named_until_it_is_back(
    team, deploy, start, operator, api_server, pool
):
    deploy(replicas=2, scaleDownDelaySeconds=8)
    gateway, frozen = (start(Gateway, api_server.kubeconfig) for _ in range(2))
    pool.submit(frozen.ask, "m")
    eventually(lambda: metrics(operator).get(of("demand", team)) == "1.0")  # it has been heard
    frozen.process.send_signal(signal.SIGSTOP)
    eventually(lambda: frozen.name in team.condition("m", "Autoscaling")[2])
    assert team.reason("m", "Autoscaling") == "GatewayUnknown"
    assert gateway.name not in team.condition("m", "Autoscaling")[2]
    time.sleep(8)
    assert replicas(team) == 2
    frozen.process.send_signal(signal.SIGCONT)
    back = time.monotonic()
    becomes(team, 1)
    assert time.monotonic() - back > 7
    place(team, "m", start(Worker, "m", 0.1))


def test_while_workers_are_replaced_none_is_stopped(team, deploy, start, api_server):
    deploy(replicas=2, scaleDownDelaySeconds=1)
    team.count("m-worker", replicas=3, updatedReplicas=1)
    start(Gateway, api_server.kubeconfig)
    eventually(lambda: team.reason("m", "Autoscaling") == "Updating")
    time.sleep(1.5)
    assert replicas(team) == 2
    reports(team, 2)
    becomes(team, 0)


def test_a_gateway_that_ends_holds_nobody_up(team, deploy, start, api_server):
    deploy(replicas=1, scaleDownDelaySeconds=3)
    start(Gateway, api_server.kubeconfig)
    ending = start(Gateway, api_server.kubeconfig)
    time.sleep(1)
    ending.process.kill()
    ending.report(terminated={"exitCode": 0})
    becomes(team, 0)


def test_an_operator_that_starts_waits_for_the_whole_delay(team, deploy, start, start_operator, operator, api_server):
    deploy(replicas=1, scaleDownDelaySeconds=4)
    start(Gateway, api_server.kubeconfig)
    time.sleep(2)
    operator.stop(signal.SIGKILL)
    began = time.monotonic()
    start_operator(namespaces=[team.name])
    becomes(team, 0)
    assert time.monotonic() - began > 4


class Impostor(Gateway):
    """A pod with everything of a gateway but its owner."""

    def owners(self, workload):
        return []


def test_demand_is_heard_only_from_pods_that_our_deployment_owns(team, deploy, start, api_server, pool):
    deploy(replicas=0)
    impostor = start(Impostor, api_server.kubeconfig)
    asked = pool.submit(impostor.ask, "m")
    until(time.monotonic() + 2)
    assert replicas(team) == 0
    pool.submit(start(Gateway, api_server.kubeconfig).ask, "m")
    becomes(team, 1)
    place(team, "m", start(Worker, "m", 0.1))
    assert asked.result(60).status_code == 200


# --- others who scale


def test_without_autoscaling_whoever_scales_is_obeyed(team, deploy, start, operator, api_server):
    team.apply(model("m", replicas=1))
    deploy("scaled", replicas=1)
    start(Gateway, api_server.kubeconfig)
    for number in (5, 0, 3):
        api_server.kubectl("scale", f"--namespace={team.name}", "md/m", f"--replicas={number}")
        eventually(lambda number=number: team.get("deployments", "m-worker")["spec"]["replicas"] == number)
    becomes(team, 0, name="scaled")
    assert replicas(team) == 3
    assert {each.rpartition("/")[2] for each in scale_writes(api_server, team)} == {"scaled"}
    assert not team.condition("m", "Autoscaling")


def test_bounds_hold_against_whoever_scales(team, deploy, start, api_server):
    deploy(replicas=1, minReplicas=2)
    becomes(team, 2)
    reports(team, 2)
    api_server.kubectl("scale", f"--namespace={team.name}", "md/m", "--replicas=9")
    time.sleep(3)
    assert replicas(team) == 9
    reports(team, 9)
    start(Gateway, api_server.kubeconfig)
    becomes(team, 2)


async def test_a_write_that_another_write_has_overtaken_is_refused(team, deploy, api_server):
    team.apply(model("other", replicas=1))
    stale = ModelDeployment.parse(team.get("modeldeployments", "other"))
    team.patch("modeldeployments", "other", {"spec": {"replicas": 7}})
    async with Api(load([api_server.kubeconfig])) as api:
        with pytest.raises(ApiError) as refused:
            await rescale(api, stale, 2)
        assert refused.value.status == 409
        assert replicas(team, "other") == 7
        assert await rescale(api, ModelDeployment.parse(team.get("modeldeployments", "other")), 2)
    assert replicas(team, "other") == 2


def test_a_model_whose_name_is_taken_is_left_alone(team, deploy, start, api_server):
    deploy(replicas=1)
    until(time.monotonic() + 1.1)  # the API server counts age in whole seconds
    team.apply(model("younger", model={"name": "m"}, replicas=3, autoscaling={"minReplicas": 5, "maxReplicas": 6}))
    start(Gateway, api_server.kubeconfig)
    becomes(team, 0)
    assert replicas(team, "younger") == 3


# --- what is told


def test_prometheus_is_told_what_was_done(team, deploy, start, operator, api_server, pool):
    deploy(replicas=0)
    gateway = start(Gateway, api_server.kubeconfig)
    pool.submit(gateway.ask, "m")
    becomes(team, 1)
    eventually(lambda: metrics(operator).get(of("desired_replicas", team)) == "1.0")
    seen = metrics(operator)
    assert seen[of("demand", team)] == "1.0"
    assert seen['fastchat_operator_scale_decisions_total{direction="up"}'] == "1.0"
    assert float(seen['fastchat_operator_reconciles_total{result="ok"}']) > 2
    assert seen["fastchat_operator_leader"] == "1.0"
    assert "fastchat_operator_reconcile_errors_total" in seen
    place(team, "m", start(Worker, "m", 0.1))
    team.delete("modeldeployments", "m")
    eventually(lambda: of("demand", team) not in metrics(operator))
