"""How many tokens a model takes: as transformers' configurations of published models say it."""

import pytest
from transformers import AutoConfig

from fastchat_worker.errors import LoadError
from fastchat_worker.model.limits import check_limit, context_limit


@pytest.mark.parametrize(
    ("model", "described", "limit"),
    [
        ("lmsys/vicuna-7b-v1.5", {"max_position_embeddings": 4096, "rope_scaling": None}, 4096),
        ("vicuna-7b-16k", {"max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 4.0}}, 16384),
        ("longchat-7b-16k", {"max_position_embeddings": 2048, "rope_scaling": {"type": "linear", "factor": 8}}, 16384),
        (
            "Qwen2.5-7B-Instruct with YaRN",
            {
                "model_type": "qwen2",
                "max_position_embeddings": 32768,
                "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
            },
            131072,
        ),
        (
            "DeepSeek-V3",
            {
                "max_position_embeddings": 163840,
                "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096},
            },
            163840,
        ),
        (
            "Llama-3.1-8B",
            {
                "max_position_embeddings": 131072,
                "rope_scaling": {
                    "rope_type": "llama3",
                    "factor": 8.0,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 8192,
                },
            },
            131072,
        ),
        (
            "Phi-3-mini-128k",
            {
                "model_type": "phi3",
                "hidden_size": 64,
                "num_attention_heads": 4,
                "max_position_embeddings": 131072,
                "original_max_position_embeddings": 4096,
                "rope_scaling": {"type": "longrope", "short_factor": [1.0] * 8, "long_factor": [2.0] * 8},
            },
            131072,
        ),
        ("dynamic", {"max_position_embeddings": 2048, "rope_scaling": {"type": "dynamic", "factor": 4.0}}, 2048),
        ("gpt2", {"model_type": "gpt2", "n_positions": 1024}, 1024),
        ("gemma-3-1b", {"model_type": "gemma3_text", "max_position_embeddings": 32768}, 32768),
    ],
)  # fmt: skip
def test_the_limit_is_what_the_configuration_says(model, described, limit):
    config = AutoConfig.for_model(**{"model_type": "llama"} | described)
    assert context_limit(config, 10**30) == limit, model


@pytest.mark.parametrize(("tokenizer", "limit"), [(2048, 2048), (10**30, 1 << 20)])
def test_a_configuration_without_a_limit_leaves_it_to_the_tokenizer(tokenizer, limit):
    assert context_limit(AutoConfig.for_model("bloom"), tokenizer) == limit


def test_more_than_the_limit_is_refused_with_both_numbers():
    check_limit(None, 4096, "vicuna")
    check_limit(4096, 4096, "vicuna")
    with pytest.raises(LoadError, match=r"--max-model-len 4097 is beyond the 4096 tokens that vicuna takes"):
        check_limit(4097, 4096, "vicuna")
