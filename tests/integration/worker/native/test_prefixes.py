"""Greedy text is the same with a prompt's beginning found in the cache as without, and nothing is read twice."""

import random

import pytest
import torch
import transformers

from fastchat_worker.engine.runner import Runner
from fastchat_worker.engine.sequence import Sequence, Wanted

SMALL = {
    "vocab_size": 211, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "initializer_range": 0.3, "pad_token_id": 0,
}  # fmt: skip
CHANCE = random.Random(5)
SYSTEM = CHANCE.choices(range(3, 211), k=75)


def _model(name: str):
    torch.manual_seed(0)
    options = {"sliding_window": 9} if name == "Mistral" else {}
    model = transformers.AutoModelForCausalLM.from_config(
        getattr(transformers, f"{name}Config")(**SMALL, **options), attn_implementation="eager"
    )
    model.generation_config = transformers.GenerationConfig()
    return model.eval()


@pytest.fixture(params=["torch", "native"])
def executor(request):
    if request.param == "torch":
        return Runner
    return request.getfixturevalue("native")


@pytest.mark.parametrize("name", ["Llama", "Mistral"])
def test_a_chat_of_four_turns_gets_the_text_that_each_turn_gets_alone(run_engine, generate_alone, executor, name):
    running = run_engine(_model(name), slots=3, budget=40, executor=executor)
    alone_model, prompt, reused = _model(name), list(SYSTEM), []
    for turn in range(4):
        prompt += CHANCE.choices(range(3, 211), k=11)
        other = Sequence([*SYSTEM[: 30 + turn], *prompt[:20]], 9)
        sequence = Sequence(prompt, 17)
        texts = running.generate([sequence, other])
        expected = [generate_alone(alone_model, each.prompt, each.max_tokens) for each in (sequence, other)]
        assert texts == expected
        reused.append(len(prompt) - sequence.reused)
        prompt = [*prompt, *sequence.tokens]
    assert max(reused[1:]) <= 11 + 1  # of what was generated the last token was never fed


def test_requests_that_come_at_once_read_their_common_beginning_once(run_engine, generate_alone, executor):
    running = run_engine(_model("Llama"), slots=8, budget=40, executor=executor)
    prompts = [[*SYSTEM, *CHANCE.choices(range(3, 211), k=5)] for _ in range(8)]
    texts = running.generate([Sequence(prompt, 12) for prompt in prompts])
    assert texts == [generate_alone(_model("Llama"), prompt, 12) for prompt in prompts]
    assert running.engine.tokens_read <= len(SYSTEM) + 8 * 5


def test_scores_of_a_prompt_that_is_cached_are_those_of_the_first_time(run_engine, executor):
    running = run_engine(_model("Llama"), slots=2, budget=40, executor=executor)
    first, again = (Sequence(SYSTEM, 3, wanted=Wanted(prompt=2)) for _ in range(2))
    assert running.generate([first]) == running.generate([again])
    assert first.prompt_scores == again.prompt_scores
    assert len(again.prompt_scores) == len(SYSTEM) - 1


def test_another_owner_reads_the_prompt_itself(run_engine, executor):
    running = run_engine(_model("Llama"), slots=2, budget=40, executor=executor)
    sequences = [Sequence(SYSTEM, 3, owner=owner) for owner in ("base", "adapter", "base")]
    for sequence in sequences:
        running.generate([sequence])
    assert [sequence.reused for sequence in sequences] == [0, 0, len(SYSTEM) - 1]
