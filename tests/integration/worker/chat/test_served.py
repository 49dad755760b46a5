"""Chat templates at a worker: what ends an answer, and what a worker says that cannot use its template. 40 s."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.vicuna import vicuna_folder
from support.workers import WorkerProcess

HASH = 0x23 + 3  # the token of the byte '#': the first three are special
BOS, EOA = 1, 400
"""In internlm-chat both end a turn; `<eoa>` is a token after the pieces, and text like any other."""

OPTIONS = ("--model-name", "m", "--chat-template")


@pytest.fixture(scope="module")
def instructed(tmp_path_factory) -> Iterator[dict[str, str]]:
    """Workers by the conversation that they were told."""
    folder = tmp_path_factory.mktemp("model")
    model = str(_with_token(vicuna_folder(folder / "m", max_position_embeddings=512, vocab_size=EOA + 1), "<eoa>"))
    names = ("zero_shot", "internlm-chat")
    workers = {name: WorkerProcess(folder, *OPTIONS, name, "--model-path", model) for name in names}
    try:
        yield {name: worker.wait_ready().url for name, worker in workers.items()}
    finally:
        for worker in workers.values():
            worker.stop()


def _with_token(folder: Path, text: str) -> Path:
    """The model's folder, whose tokenizer has one more token that is not special."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    flags = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word", "special"), False)
    path.write_text(json.dumps(config | {"added_tokens_decoder": {str(EOA): {"content": text, **flags}}}))
    return folder


def finished(url: str, route: str, token: int, **asked: object) -> tuple[str, str]:
    """The text and the finish reason where a model says nothing but this token."""
    body = {"model": "m", "max_tokens": 8, "logit_bias": {token: 100}, **asked}
    answer = httpx.post(f"{url}/v1/{route}", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    choice = answer.json()["choices"][0]
    return choice.get("text", choice.get("message", {}).get("content")), choice["finish_reason"]


HELLO = [{"role": "user", "content": "Hello"}]


def test_a_stop_text_of_the_conversation_ends_a_chat_and_is_cut_out_of_it(instructed):
    url = instructed["zero_shot"]
    assert finished(url, "chat/completions", HASH, messages=HELLO) == ("", "stop")
    assert finished(url, "completions", HASH, prompt="Hello") == ("#" * 8, "length")


def test_a_stop_token_of_the_conversation_ends_a_chat(instructed):
    url = instructed["internlm-chat"]
    assert finished(url, "chat/completions", BOS, messages=HELLO) == ("", "stop")
    assert finished(url, "completions", BOS, prompt="Hello")[1] == "length"


def test_what_stands_after_an_answer_does_not_show_though_it_is_text_to_the_tokenizer(instructed):
    url = instructed["internlm-chat"]
    assert finished(url, "chat/completions", EOA, messages=HELLO) == ("", "stop")
    assert finished(url, "completions", EOA, prompt="Hello") == ("", "stop")


def test_a_name_that_does_not_ship_ends_the_worker_before_anything_is_downloaded(start_worker):
    assert last_line(start_worker(*OPTIONS, "vicuna", "--model-path", "hf://nobody/nothing")) == (
        "--chat-template vicuna: there is no such file, and none of that name ships; did you mean vicuna_v1.1? "
        "(docs/models.md lists them)"
    )


def test_a_template_that_leaves_text_out_ends_the_worker(start_worker, tmp_path):
    silent = tmp_path / "silent.jinja"
    silent.write_text("{% for m in messages %}{{ m.role }}{% endfor %}")
    worker = start_worker(*OPTIONS, str(silent), "--model-path", str(vicuna_folder(tmp_path / "m")))
    assert last_line(worker) == (
        f"the chat template (--chat-template {silent}) leaves out what users say; choose another with --chat-template"
    )


def last_line(worker: WorkerProcess) -> str:
    """What a worker says at last that cannot load."""
    assert worker.process.wait(120) == 1
    log = worker.log.read_text()
    assert "Traceback" not in log
    return log.strip().splitlines()[-1].removeprefix("fastchat-worker: ")
