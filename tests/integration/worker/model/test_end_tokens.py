"""Generation ends at every token that a model ends with, wherever that is said."""

import json
import shutil
from functools import partial

import httpx
import pytest
from support.gguf_file import END, write_gguf
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from fastchat_worker.model.end_tokens import end_of_turn

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
)
LLAMA_2 = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token }}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }} </s>{% endif %}{% endfor %}"
)
HARMONY = (
    "{% for m in messages %}<|start|>{{ m.role }}<|message|>{{ m.content }}"
    "{% if loop.last and m.role == 'assistant' %}<|return|>{% else %}<|end|>{% endif %}{% endfor %}"
)
GLM = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}"
VICUNA_0 = "{% for m in messages %}### {{ m.role }}: {{ m.content }}\n{% endfor %}"
ONE_TURN = "{% if messages | length > 1 %}{{ raise_exception('one turn') }}{% endif %}{{ messages[0].content }}"
SPECIAL = ["<s>", "</s>", "<start_of_turn>", "<end_of_turn>"]
SPECIAL += [f"<|{word}|>" for word in ["im_start", "im_end", "start_header_id", "end_header_id", "eot_id"]]
SPECIAL += [f"<|{word}|>" for word in ["start", "message", "end", "return", "user", "assistant"]]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"x": 0}, "x")), bos_token="<s>", eos_token="</s>"
    )
    tokenizer.add_tokens(SPECIAL, special_tokens=True)
    tokenizer.add_tokens(["  ", "Sunny"])
    return tokenizer


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (CHATML, "<|im_end|>"),
        (LLAMA_3, "<|eot_id|>"),
        (GEMMA, "<end_of_turn>"),
        (LLAMA_2, "</s>"),
        (HARMONY, "<|return|>"),
        (GLM, "<|user|>"),
        (VICUNA_0, None),
        (ONE_TURN, None),
        ("{{ messages[0].content + 1 }}", None),
    ],
)
def test_what_a_template_puts_after_an_assistants_turn_ends_it(tokenizer, template, end):
    render = partial(tokenizer.apply_chat_template, chat_template=template, tokenize=False)
    ends = {tokenizer.convert_tokens_to_ids(end)} if end else set()
    assert end_of_turn(tokenizer, render) == ends


def test_a_gguf_file_says_it_of_turns_and_messages(tmp_path, load):
    ids = {"tokenizer.ggml.eot_token_id": 258, "tokenizer.ggml.eom_token_id": 259}
    assert load(write_gguf(tmp_path / "m.gguf", extra=ids)).end_tokens == {257, 258, 259}


def test_the_configuration_of_generation_says_several(tiny_folder, tmp_path, load, edit_json):
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    edit_json(folder / "generation_config.json", eos_token_id=[5, 6])
    assert load(folder).end_tokens == {1, 5, 6}
    edit_json(folder / "generation_config.json", eos_token_id=5)
    assert load(folder).end_tokens == {1, 5}


def test_a_worker_stops_at_the_token_that_only_the_template_names(start_worker, tmp_path):
    template = "{% for m in messages %}{{ m.content }}" + END + "{% endfor %}"
    path = write_gguf(tmp_path / "m.gguf", extra={"tokenizer.chat_template": template})
    worker = start_worker("--model-name", "m", "--model-path", str(path)).wait_ready()
    body = {"model": "m", "prompt": "x", "max_tokens": 9, "logit_bias": {"258": 100}}
    choice = httpx.post(worker.url + "/v1/completions", json=body).json()["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == ("", "stop"), json.dumps(choice)
