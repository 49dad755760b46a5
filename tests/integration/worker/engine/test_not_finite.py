"""A sequence whose numbers are not finite ends alone, and leaves nothing to those that come into its slot."""

import math
import pickle

import pytest
import torch
import transformers

from fastchat_worker.engine.executor import ModelInput
from fastchat_worker.engine.packing import pack
from fastchat_worker.engine.runner import Runner
from fastchat_worker.engine.scheduler import Scheduler
from fastchat_worker.engine.sequence import Sequence, Wanted
from fastchat_worker.kv.slots import SlotCache
from fastchat_worker.sampling.parameters import Sampling

POISON = 7
"""The token whose embedding is not a number."""
GOOD = ([11, 12, 13], [20 + i for i in range(30)], [99])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, initializer_range=0.3,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config).eval()
    model.generation_config = transformers.GenerationConfig()
    with torch.no_grad():
        model.get_input_embeddings().weight[POISON] = math.nan
    return model


@pytest.fixture(scope="module")
def alone(model):
    """What transformers generates for the good prompts, without the one token."""
    found = []
    for prompt in GOOD:
        ids = torch.tensor([prompt])
        options = {"max_new_tokens": 9, "do_sample": False, "eos_token_id": -1, "pad_token_id": 0}
        output = model.generate(ids, attention_mask=torch.ones_like(ids), suppress_tokens=[POISON], **options)
        found.append(output[0, len(prompt) :].tolist())
    return found


def _good() -> list[Sequence]:
    return [Sequence(prompt, 9, sampling=Sampling(temperature=0, logit_bias={POISON: -math.inf})) for prompt in GOOD]


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_it_ends_alone_wherever_it_stands_in_the_batch(model, alone, run_engine, slots):
    running = run_engine(model, slots=slots, budget=16)
    first, second, third = _good()
    bad = [Sequence([POISON], 9), Sequence([5] * 40 + [POISON], 9), Sequence([POISON] + [5] * 40, 9)]
    tokens = running.generate([first, bad[0], second, bad[1], third, bad[2]])
    assert [tokens[0], tokens[2], tokens[4]] == alone
    assert [(each.finish, each.tokens) for each in bad] == [("error", [])] * 3
    assert running.generate(_good()) == alone


def _step(runner: Runner, scheduler: Scheduler) -> None:
    """One step, its input as another process would get it."""
    batch = scheduler.schedule()
    assert batch is not None
    step: ModelInput = pickle.loads(pickle.dumps(pack(batch)))
    for sequence, token in zip(batch.sampled, runner.execute(step).tokens, strict=True):
        assert token is not None
        sequence.append(token)
    scheduler.retire()


def test_a_prompt_that_was_cancelled_half_read_leaves_nothing_in_its_slot(model, alone):
    runner = Runner(model)
    runner.open_cache(slots=2, max_len=128)
    scheduler = Scheduler(SlotCache(2), budget=16, max_waiting=9)
    before, bad, after = _good()[1], Sequence([POISON] * 99, 9), _good()[0]
    scheduler.add(before)
    scheduler.add(bad)
    for _ in range(4):
        _step(runner, scheduler)
    assert 0 < bad.cached < 99
    bad.end("cancelled")
    scheduler.retire()
    scheduler.add(after)
    while scheduler.running or scheduler.waiting:
        _step(runner, scheduler)
    assert [after.tokens, before.tokens] == alone[:2]


def test_tokens_that_the_model_does_not_have_end_their_sequence_alone(model, alone, run_engine):
    running = run_engine(model, slots=2, budget=16)
    good, unknown = _good()[0], Sequence([1, 100], 9)
    assert running.generate([good, unknown])[0] == alone[0]
    assert unknown.finish == "error"


def test_with_scores_and_penalties_it_ends_alone_too(model, run_engine):
    running = run_engine(model, slots=3, budget=16)
    wanted = Wanted(tokens=2, prompt=2)
    penalized = Sampling(temperature=0, repetition_penalty=1.3, presence_penalty=1, logit_bias={POISON: -math.inf})
    good = Sequence(GOOD[1], 9, sampling=penalized, wanted=wanted)
    bad = [Sequence([5] * 20 + [POISON, 5], tokens, sampling=penalized, wanted=wanted) for tokens in (0, 9)]
    running.generate([bad[0], good, bad[1]])
    assert [each.finish for each in (*bad, good)] == ["error", "error", "length"]
    assert (len(good.prompt_scores), len(good.scores)) == (len(GOOD[1]) - 1, 9)
    assert all(score.valid and len(score.ids) == 2 for score in (*good.prompt_scores, *good.scores))
