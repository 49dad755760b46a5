"""A model that sleeps: woken by requests, all of them answered, and asleep again; no stream pays for it."""

import itertools
import json
import time

import pytest
from product.floors import assert_floor
from product.timeline import Timeline, has_ready_endpoint, is_of, runs

REQUESTS = 50
WITHIN_SECONDS = 1.0
LOAD_SECONDS = 3
TOKENS = 5
DELAY_SECONDS = 15
DECISION_SECONDS = 1.0
STREAM_SECONDS = 30

# Prints what came of REQUESTS requests, spread over SECONDS: status, retry-after, tokens, times.
CLIENT = """
import asyncio, json, sys, time, aiohttp

url, model = sys.argv[1], sys.argv[2]
count, seconds, stream = int(sys.argv[3]), float(sys.argv[4]), sys.argv[5] == "stream"

async def ask(session, number):
    await asyncio.sleep(number * seconds / count)
    sent, first, text = time.time(), None, ""
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "Hello!"}]}
    async with session.post(url + "/chat/completions", json=body) as answer:
        async for line in answer.content:
            text += line.decode()
            if first is None and b'"content"' in line:
                first = time.time()
    seen = {"sent": sent, "first": first, "ended": time.time(), "status": answer.status}
    seen |= {"tokens": text.count('"content"'), "dones": text.count("[DONE]"), "errors": text.count('"error"')}
    return seen | {"retry_after": answer.headers.get("retry-after")}

async def main():
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=180)) as session:
        print(json.dumps(await asyncio.gather(*[ask(session, number) for number in range(count)])))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def team(make_namespace):
    return make_namespace("from-zero")


@pytest.fixture
def deploy(team):
    """Applies a model of simulators that nobody has asked yet, and waits until its gateways serve it."""

    def apply(name, *arguments, replicas=0, queue=None, **autoscaling):
        scaling = {"minReplicas": 0, "maxReplicas": 3, "scaleDownDelaySeconds": DELAY_SECONDS} | autoscaling
        team.simulator(name, *arguments, replicas=replicas, autoscaling=scaling, queue=queue or {})
        team.wait(lambda: team.condition(name, "GatewayReady"), lambda seen: seen.get("status") == "True")
        team.wait(lambda: team.condition(name, "Autoscaling"), lambda seen: seen.get("status") == "True")

    return apply


def ask(team, model, count, seconds, how="stream", url=""):
    """What came of requests that the client pod sends."""
    command = ["exec", "-i", "client", "--", "python", "-", url or team.url, model, str(count), str(seconds), how]
    return json.loads(team.kubectl(*command, input=CLIENT))


def gateways(team):
    return [pod["status"]["podIP"] for pod in team.gateways()]


def replicas(team, model):
    return team.get("md", model)["spec"]["replicas"]


def test_fifty_requests_wake_a_model_are_all_answered_once_and_it_sleeps_again(team, deploy):
    deploy("sleeper", f"--load={LOAD_SECONDS}", f"--tokens={TOKENS}", "--interval=0.05", targetRequests=25)
    with Timeline(team, "modeldeployments", "pods", "endpointslices") as timeline:
        time.sleep(2)
        answers = ask(team, "sleeper", REQUESTS, WITHIN_SECONDS)
        steps = {
            "first request": min(each["sent"] for each in answers),
            "decision": timeline.first("modeldeployments", lambda each: _is(each) and each["spec"]["replicas"]),
            "pod made": timeline.first("pods", _is_worker),
            "container started": timeline.first("pods", lambda each: _is_worker(each) and runs(each)),
            "model loaded": timeline.first("endpointslices", _has_ready_worker),
            "first token": min(each["first"] for each in answers),
            "last answer": max(each["ended"] for each in answers),
        }
    print()
    for (_, before), (step, at) in itertools.pairwise(steps.items()):
        print(f"{step:20} +{at - before:6.2f} s")
    print(f"{'first token':20} {steps['first token'] - steps['first request']:7.2f} s after the first request")
    whole = {"status": 200, "tokens": TOKENS, "dones": 1, "errors": 0}
    assert [each for each in answers if whole.items() - each.items()] == []
    assert len(answers) == REQUESTS
    assert_floor(steps["decision"] - steps["first request"], DECISION_SECONDS)
    team.wait(lambda: team.pods("sleeper"), lambda pods: not pods)
    asleep = team.condition("sleeper")
    assert (asleep["reason"], asleep["message"]) == (
        "ScaledToZero",
        "no worker runs: nobody asks; the first request starts one",
    )
    print(f"asleep {time.time() - steps['last answer']:.1f} s after the last answer, delay {DELAY_SECONDS} s")
    assert time.time() - steps["last answer"] > DELAY_SECONDS
    events = team.kubectl("get", "events", "--output=jsonpath={range .items[*]}{.reason}: {.message}{'\\n'}{end}")
    print("\n".join(line for line in events.splitlines() if line.startswith("Scaled")))


def test_one_gateway_holds_as_many_requests_as_its_queue_takes_and_turns_the_others_away(team, deploy):
    deploy("bounded", f"--load={LOAD_SECONDS}", queue={"maxRequests": 10})
    answers = ask(team, "bounded", REQUESTS, 0, "whole", url=f"http://{gateways(team)[0]}:8080/v1")
    by_status = {status: [each for each in answers if each["status"] == status] for status in (200, 429)}
    assert (len(by_status[200]), len(by_status[429])) == (10, 40)
    assert all(int(each["retry_after"]) > 0 for each in by_status[429])


def test_workers_are_stopped_under_load_without_a_broken_stream_the_idle_one_first(team, deploy):
    """Two streams on two of three workers; when one worker is enough, one of those two ends its stream, then goes."""
    pace = [f"--tokens={STREAM_SECONDS * 10}", "--interval=0.1"]
    deploy("busy", *pace, replicas=3, minReplicas=3, targetRequests=2, scaleDownDelaySeconds=3)
    team.wait_ready("busy")
    workers = {pod["metadata"]["name"] for pod in team.pods("busy")}
    patch = {"spec": {"autoscaling": {"minReplicas": 1}}}
    team.start("streams", "python", "-c", CLIENT, f"http://{gateways(team)[0]}:8080/v1", "busy", "2", "0.2", "stream")
    began = time.monotonic()
    team.kubectl("wait", "pod/streams", "--for=condition=Ready", "--timeout=180s")
    team.kubectl("patch", "md", "busy", "--type=merge", f"--patch={json.dumps(patch)}")
    team.wait(lambda: replicas(team, "busy"), lambda now: now == 1)
    scaled_after = time.monotonic() - began
    costs = {
        pod["metadata"]["name"]: pod["metadata"]
        .get("annotations", {})
        .get("controller.kubernetes.io/pod-deletion-cost", "0")
        for pod in team.get("pods", "--selector=fastchat.io/model-deployment=busy")["items"]
    }
    (left,) = team.wait(lambda: team.pods("busy"), lambda pods: len(pods) == 1)
    phase = "--output=jsonpath={.status.phase}"
    team.wait(lambda: team.kubectl("get", "pod", "streams", phase), lambda now: now in ("Succeeded", "Failed"))
    streams = json.loads(team.kubectl("logs", "streams"))
    print(f"\nscaled 3 → 1 after {scaled_after:.1f} s of {STREAM_SECONDS} s; pods' costs {costs}")
    assert sorted(costs.values()) == ["0", "1", "1"]
    assert costs[left["metadata"]["name"]] == "1"
    assert left["metadata"]["name"] in workers
    whole = {"status": 200, "tokens": STREAM_SECONDS * 10, "dones": 1, "errors": 0}
    assert [each for each in streams if whole.items() - each.items()] == []
    assert_floor(scaled_after, STREAM_SECONDS)


def _is(deployment):
    return deployment["metadata"]["name"] == "sleeper"


def _is_worker(pod):
    return is_of(pod, "sleeper")


def _has_ready_worker(endpoints):
    return _is_worker(endpoints) and has_ready_endpoint(endpoints)
