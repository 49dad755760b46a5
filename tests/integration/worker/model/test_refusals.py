"""A model that cannot be loaded leaves one line that says what to do."""

import base64
import json
import pickle
import shutil
from pathlib import Path

import pytest
import transformers
from support.gguf_file import write_gguf
from support.vicuna import vicuna_folder

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 499723\n"


@pytest.fixture
def folder(tmp_path) -> Path:
    """In the layout of vicuna: weights in .bin, sentencepiece."""
    return vicuna_folder(tmp_path / "model")


@pytest.fixture
def tiny(tiny_folder, tmp_path) -> Path:
    """In safetensors, with a tokenizer.json."""
    return shutil.copytree(tiny_folder, tmp_path / "tiny")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


@pytest.mark.parametrize("name", ["pytorch_model-00001-of-00002.bin", "tokenizer.model"])
def test_a_git_lfs_pointer_is_told(folder, refusal, name):
    (folder / name).write_text(POINTER)
    assert refusal(folder) == (
        f"cannot load {folder}: {name} is a Git LFS pointer in place of the file: "
        "run `git lfs pull` where it comes from"
    )


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_git_lfs_pointer_in_a_newer_layout_is_told(tiny, refusal, name):
    (tiny / name).write_text(POINTER)
    assert f"{name} is a Git LFS pointer in place of the file: run `git lfs pull`" in refusal(tiny)


def test_a_git_lfs_pointer_to_a_gguf_file_is_told(tmp_path, refusal):
    (tmp_path / "m.gguf").write_text(POINTER)
    assert "m.gguf is a Git LFS pointer in place of the file: run `git lfs pull`" in refusal(tmp_path / "m.gguf")


def test_a_truncated_pickle_is_told(folder, refusal):
    _cut(folder / "pytorch_model-00002-of-00002.bin")
    line = refusal(folder)
    assert line.startswith(f"cannot load {folder}: pytorch_model-00002-of-00002.bin cannot be read (")
    assert line.endswith("); it is so where it comes from: make or copy it anew")


def test_a_truncated_safetensors_file_is_told(tiny, refusal):
    _cut(tiny / "model.safetensors")
    assert refusal(tiny).startswith(f"cannot load {tiny}: model.safetensors cannot be read (")


@pytest.mark.parametrize("part", [0.999, 0.5, 0.02])
def test_a_truncated_gguf_file_is_told(tmp_path, refusal, part):
    path = write_gguf(tmp_path / "m.gguf")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    assert refusal(path).startswith(f"cannot load {tmp_path}: m.gguf cannot be read (")


class RunsWhenLoaded:
    """A pickle of it is code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit",)


def test_a_pickle_with_code_is_told(tiny, refusal):
    (tiny / "model.safetensors").unlink()
    (tiny / "pytorch_model.bin").write_bytes(pickle.dumps(RunsWhenLoaded(), 2))
    assert refusal(tiny) == (
        f"cannot load {tiny}: pytorch_model.bin has more in it than tensors (exec), which is not run: take safetensors"
    )


def test_an_architecture_that_transformers_does_not_know_is_told(tiny, refusal, edit_json):
    edit_json(tiny / "config.json", model_type="made-up")
    assert refusal(tiny) == (
        f"{tiny}: transformers {transformers.__version__} does not know the architecture made-up; "
        "serve it with engine VLLM, or with a newer release of the worker"
    )
    edit_json(tiny / "config.json", model_type=None)
    assert refusal(tiny) == f"{tiny}: config.json does not say of which architecture it is (model_type)"


@pytest.mark.parametrize(
    ("method", "package"),
    [
        ({"quant_method": "gptq", "bits": 4}, "gptqmodel and optimum"),
        ({"quant_method": "awq", "bits": 4}, "gptqmodel"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        ({"quant_method": "compressed-tensors"}, "compressed-tensors"),
        (
            {"quant_method": "torchao", "quant_type": {"default": {"_type": "Int8WeightOnlyConfig", "_data": {}}}},
            "torchao",
        ),
    ],
)
def test_a_quantised_model_whose_library_is_not_here_is_told(tiny, refusal, edit_json, method, package):
    edit_json(tiny / "config.json", quantization_config=method)
    line = refusal(tiny)
    assert line.startswith(f"{tiny} is quantised by {method['quant_method']}, which needs a package that is not here (")
    assert line.endswith(
        f"): add {package} to the worker's image, take the model unquantised or as GGUF, or serve it with engine VLLM"
    )


CODE = """
from transformers import LlamaConfig, LlamaForCausalLM
class MineConfig(LlamaConfig):
    model_type = "mine"
class MineForCausalLM(LlamaForCausalLM):
    config_class = MineConfig
"""
TOKENIZER = """
from transformers import PreTrainedTokenizerFast
class MineTokenizer(PreTrainedTokenizerFast):
    pass
"""


def _with_code(folder: Path, edit_json) -> None:
    (folder / "modeling_mine.py").write_text(CODE)
    (folder / "tokenization_mine.py").write_text(TOKENIZER)
    classes = {"AutoConfig": "modeling_mine.MineConfig", "AutoModelForCausalLM": "modeling_mine.MineForCausalLM"}
    edit_json(folder / "config.json", model_type="mine", architectures=["MineForCausalLM"], auto_map=classes)
    mine = {"AutoTokenizer": [None, "tokenization_mine.MineTokenizer"]}
    edit_json(folder / "tokenizer_config.json", tokenizer_class="MineTokenizer", auto_map=mine)


def test_code_of_a_model_is_run_only_where_it_is_allowed(tiny, refusal, load, edit_json, tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    _with_code(tiny, edit_json)
    assert refusal(tiny) == (
        f"{tiny} brings Python code of its own, which is needed for its architecture mine: read it, and allow the "
        "worker to run it by --trust-remote-code (spec.model.trustRemoteCode); it can do whatever the worker can"
    )
    model = load(tiny, trust_remote_code=True)
    assert type(model.model).__name__ == "MineForCausalLM"
    assert type(model.tokenizer).__name__ == "MineTokenizer"


def test_code_for_a_tokenizer_alone_is_told(tiny, refusal, edit_json):
    (tiny / "tokenization_mine.py").write_text(TOKENIZER)
    mine = {"AutoTokenizer": ["tokenization_mine.MineTokenizer", None]}
    edit_json(tiny / "tokenizer_config.json", tokenizer_class="MineTokenizer", auto_map=mine)
    assert f"{tiny} brings Python code of its own, which is needed for its tokenizer: " in refusal(tiny)


def test_code_that_transformers_has_itself_by_now_is_not_needed(tiny, load, edit_json):
    edit_json(tiny / "config.json", auto_map={"AutoModelForCausalLM": "modeling_mine.MineForCausalLM"})
    assert type(load(tiny).model).__name__ == "LlamaForCausalLM"


def test_a_tokenizer_that_is_no_json_is_told(tiny, refusal):
    (tiny / "tokenizer.json").write_text("{")
    assert f"cannot load {tiny}: tokenizer.json cannot be read (" in refusal(tiny)


def test_more_tokens_than_a_model_takes_are_refused_with_both_numbers(tiny, refusal, load):
    assert refusal(tiny, max_model_len=257) == (
        f"--max-model-len 257 is beyond the 256 tokens that {tiny} takes by its configuration: lower it"
    )
    assert load(tiny, max_model_len=256).max_len == 256


def test_more_tokens_than_an_encoder_takes_are_refused_with_both_numbers(refusal):
    from integration.worker.model.test_weights import MINILM

    assert f"--max-model-len 4096 is beyond the 256 tokens that {MINILM} takes" in refusal(
        MINILM, task="embed", max_model_len=4096
    )


def test_a_gguf_file_is_no_sentence_model(tmp_path, refusal):
    path = write_gguf(tmp_path / "m.gguf")
    assert refusal(path, task="embed").startswith(f"{path}: a GGUF file is for task Generate")


def test_a_tokenizer_of_tiktokens_that_is_cut_is_told(folder, refusal):
    (folder / "tokenizer.model").write_text(f"{base64.b64encode(b'a').decode()} 0\nbroken line here\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    assert f"cannot load {folder}: tokenizer.model cannot be read (" in refusal(folder)
