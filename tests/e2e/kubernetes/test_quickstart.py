"""The first hour of a team: apply the quickstart, call it from a pod, scale it, delete it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cluster.tools import packages
from support.clients.browser import DESKTOP, chromium, visit
from support.eventually import eventually
from support.pages.blocks import commands
from support.ports import free_port

ROOT = Path(__file__).parents[3]
QUICKSTART = ROOT / "docs/quickstart/kind.md"

OPENAI = """
import json, sys
import openai

client = openai.OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0, timeout=300)
messages = [{"role": "user", "content": "Hello!"}]
chat = client.chat.completions.create(model="vicuna-7b-v1.1", messages=messages, temperature=0, max_tokens=16)
stream = client.chat.completions.create(model="smollm2", messages=messages, temperature=0, max_tokens=16, stream=True)
chunks = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
embeddings = client.embeddings.create(model="all-minilm-l6-v2", input=["Hello", "there"])
try:
    client.chat.completions.create(model="gpt-9", messages=messages)
except openai.NotFoundError as error:
    unknown = error.body["code"]
print(json.dumps({
    "chat": chat.choices[0].message.content,
    "stream": chunks,
    "dimensions": [len(each.embedding) for each in embeddings.data],
    "models": sorted(model.id for model in client.models.list()),
    "unknown": unknown,
}))
"""

SDK = """
import json, sys
from fastchat import client

client.set_baseurl(sys.argv[1].removesuffix("/v1"))
chat = client.ChatCompletion.create(
    model="smollm2", messages=[{"role": "user", "content": "Hello!"}], temperature=0, max_tokens=16
)
embedding = client.Embedding.create(model="all-minilm-l6-v2", input="Hello")
print(json.dumps({
    "chat": chat["choices"][0]["message"]["content"],
    "same": chat.choices[0].message.content,
    "dimensions": len(embedding["data"][0]["embedding"]),
}))
"""


@pytest.fixture(scope="module")
def team(make_namespace):
    """A namespace with the quickstart, ready."""
    team = make_namespace("quickstart")
    team.kubectl("apply", f"--filename={ROOT / 'examples/quickstart.yaml'}")
    team.wait_ready("smollm2", "all-minilm-l6-v2")
    return team


def test_the_openai_package_talks_to_both_models_from_a_pod(team):
    said = team.ask(OPENAI)
    assert said["chat"] == "".join(said["stream"])
    assert said["chat"].startswith("Hello!")
    assert len(said["stream"]) > 5
    assert said["dimensions"] == [384, 384]
    assert said["models"] == ["all-minilm-l6-v2", "smollm2", "vicuna-7b-v1.1"]
    assert said["unknown"] == "model_not_found"


@pytest.fixture
def typed(team, tmp_path):
    """Runs a command as a person of the team types it, its port 8000 being another; what is started is ended."""
    config = json.loads(team.cluster.kubectl("config", "view", "--raw", "--output=json"))
    for context in config["contexts"]:
        context["context"]["namespace"] = team.name
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    binary, port = Path(team.cluster.kubectl_command()[0]), str(free_port())
    environ = {"KUBECONFIG": str(tmp_path / "kubeconfig"), "PATH": f"{binary.parent}:{os.environ['PATH']}"}
    started = []

    def start(text: str) -> "subprocess.Popen[str]":
        packages.require_named(text)
        command = ["bash", "-euo", "pipefail", "-c", text.replace("8000", port)]
        started.append(
            subprocess.Popen(
                command,
                env=os.environ | {"NO_PROXY": "*"} | environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, 9)
        process.communicate()


@pytest.fixture
def forwarded(typed):
    """Of the gateway, once the quickstart's commands have said that all is ready: where it is on this machine."""
    wait, _ = (block.text for block in commands(QUICKSTART, "nodes"))
    (forward,) = (block.text for block in commands(QUICKSTART, "nodes, in the background"))
    said, _ = typed(wait).communicate(timeout=300)
    assert said.count("condition met") == 2
    address = re.match(r"Forwarding from (127\.0\.0\.1:\d+) ", typed(forward).stdout.readline())
    return f"http://{address[1]}"


def test_the_quickstarts_commands_reach_a_first_answer(typed, forwarded):
    _, ask = (block.text for block in commands(QUICKSTART, "nodes"))
    answers = []

    def answered() -> bool:
        asking = typed(ask)
        answers.append(asking.communicate(timeout=120)[0])
        return asking.returncode == 0

    eventually(answered)
    assert "chat.completion" in answers[-1]


async def test_a_newcomer_sees_in_the_page_what_the_model_says(forwarded):
    async with chromium() as browser:
        context = await browser.new_context(viewport=DESKTOP)
        context.set_default_timeout(180_000)
        seen = await visit(context, forwarded)
        await seen.page.locator("select").select_option("smollm2")
        await seen.page.locator("#composer-input").fill("What is the capital of France? Answer with one word.")
        await seen.page.keyboard.press("Enter")
        await seen.page.locator(".assistant .figures").get_by_text("tokens/s").wait_for()
        question, answer = await seen.page.locator(".message .text").all_text_contents()
        assert question.startswith("What is the capital")
        assert answer.strip()
        await seen.check()


def test_the_sdk_talks_to_both_models_from_a_pod(team):
    said = team.ask(SDK)
    assert said["chat"] == said["same"]
    assert said["chat"].startswith("Hello!")
    assert said["dimensions"] == 384


def test_kubectl_get_shows_what_a_person_wants_to_know(team):
    header, *rows = team.kubectl("get", "md").splitlines()
    assert header.split() == ["NAME", "MODEL", "ENGINE", "READY", "REASON", "PROGRESS", "AGE"]
    assert [row.split()[:1] + row.split()[2:5] for row in rows] == [
        ["all-minilm-l6-v2", "Transformers", "1/1", "Ready"],
        ["smollm2", "Transformers", "1/1", "Ready"],
    ]


@pytest.fixture
def fastchat(team, cluster):
    """Runs the command in the team's namespace, on this machine; what it prints."""

    def run(*arguments):
        command = [sys.executable, "-m", "fastchat", *arguments, f"--namespace={team.name}"]
        done = subprocess.run([*command, f"--kubeconfig={cluster.kubeconfig}"], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_the_doctor_finds_nothing_wrong(team, fastchat):
    found = json.loads(fastchat("doctor", "--json"))
    assert {each["what"]: each["state"] for each in found} == dict.fromkeys(
        ("cluster", "CRD", "rights", "operator", "DNS", "GPUs", "gateway", "models"), "ok"
    )


def test_the_log_of_a_worker_and_of_the_gateway_is_printed_with_their_pods(team, fastchat):
    assert re.search(r"^smollm2-worker-\S+  .* ready after ", fastchat("logs", "smollm2"), re.M)
    assert {line.split()[0] for line in fastchat("logs", "--gateway").splitlines()} <= {
        each["metadata"]["name"] for each in team.gateways()
    }


def test_watching_what_serves_ends_at_once(team, fastchat):
    assert fastchat("status", "smollm2", "--watch") == "smollm2 1/1 Ready: 1 of 1 workers ready\n"


def test_describe_shows_the_address_and_events(team):
    text = team.kubectl("describe", "md", "smollm2")
    assert team.url in text
    assert "1 of 1 workers ready" in text


def test_coming_up_is_not_told_as_trouble(team):
    of_models = "--field-selector=type=Warning,involvedObject.kind=ModelDeployment"
    words = "--output=jsonpath={range .items[*]}{.reason}: {.message}{'\\n'}{end}"
    assert team.kubectl("get", "events", of_models, words) == ""


def test_a_second_namespace_has_models_and_a_gateway_of_its_own(team, make_namespace):
    other = make_namespace("second")
    other.simulator("sim")
    other.wait_ready("sim")
    script = "import sys, httpx; print(httpx.get(sys.argv[1] + '/models').text)"
    assert [model["id"] for model in other.ask(script)["data"]] == ["sim"]
    assert "sim" not in {model["id"] for model in team.ask(script)["data"]}


def test_kubectl_scale_adds_and_removes_workers(make_namespace):
    team = make_namespace("scaled")
    team.simulator("sim")
    team.wait_ready("sim")
    team.kubectl("scale", "md/sim", "--replicas=3")
    team.wait(lambda: team.get("md", "sim")["status"]["ready"], lambda ready: ready == "3/3")
    assert len(team.pods("sim")) == 3
    team.kubectl("scale", "md/sim", "--replicas=0")
    team.wait(lambda: team.condition("sim")["reason"], lambda reason: reason == "ScaledToZero")
    team.wait(lambda: team.pods("sim"), lambda pods: not pods)


def test_a_deleted_model_leaves_nothing_and_the_last_one_takes_the_gateway_along(make_namespace):
    team = make_namespace("gone")
    team.simulator("one")
    team.simulator("two")
    team.wait_ready("one", "two")
    kinds = "deployments,services,pods,serviceaccounts,roles,rolebindings,poddisruptionbudgets,endpointslices"

    def left():
        found = json.loads(team.kubectl("get", kinds, "--output=json"))["items"]
        names = {f"{each['kind']}/{each['metadata']['name']}" for each in found}
        return names - {"Pod/client", "ServiceAccount/default"}

    team.kubectl("delete", "md", "one", "--wait=false")
    team.wait(left, lambda names: names and not any("one-" in name for name in names))
    assert "Deployment/fastchat-gateway" in left()
    team.kubectl("delete", "md", "two", "--wait=false")
    team.wait(left, lambda names: not names)
