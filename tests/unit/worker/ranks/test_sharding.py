"""Over how many ranks a model is spread, and what is in the way."""

import pytest
import torch
import transformers

from fastchat_worker.errors import LoadError
from fastchat_worker.ranks import sharding
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import ModelFiles


@pytest.fixture
def folder(tmp_path):
    transformers.LlamaConfig(hidden_size=96, num_attention_heads=12, num_key_value_heads=4).save_pretrained(tmp_path)
    return tmp_path


def ranks(folder, gguf=None, **options):
    settings = Settings(model_name="m", model_path="m", **{"device": "cpu", **options})
    return sharding.ranks(ModelFiles(folder, gguf), settings)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_as_many_as_are_asked_for(folder, size):
    assert ranks(folder, tensor_parallel_size=size) == size


def test_on_the_cpu_one_where_nothing_is_asked_for(folder):
    assert ranks(folder) == 1


@pytest.mark.parametrize(("gpus", "size"), [(0, 1), (1, 1), (2, 2), (4, 4), (3, 1)])
def test_all_gpus_where_nothing_is_asked_for_and_one_where_the_model_cannot_be_spread_so(
    folder, monkeypatch, gpus, size
):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    assert ranks(folder, device="auto") == size


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"tensor_parallel_size": 3}, "take one of 1, 2, 4"),
        ({"tensor_parallel_size": 8}, "take one of 1, 2, 4"),
        ({"gguf": "model.gguf"}, "safetensors"),
        ({"task": "embed"}, "--task embed"),
        ({"executor": "native"}, "leave out --executor"),
        ({"quantization": "int8"}, "leave out --executor and --quantization"),
        ({"device": "cuda:1"}, "leave out --device cuda:1"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(folder, options, reason):
    with pytest.raises(LoadError, match=f"--tensor-parallel-size .: .*{reason}"):
        ranks(folder, **{"tensor_parallel_size": 2, **options})


def test_an_architecture_without_a_plan_is_for_one_gpu(tmp_path):
    transformers.GPT2Config().save_pretrained(tmp_path)
    with pytest.raises(LoadError, match="transformers cannot spread gpt2 over GPUs"):
        ranks(tmp_path, tensor_parallel_size=2)


def test_more_than_there_are_is_refused(folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(LoadError, match="the worker sees 2 GPUs"):
        ranks(folder, device="auto", tensor_parallel_size=4)
