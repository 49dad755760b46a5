"""How the memory that is free becomes sequences and tokens."""

import pytest

from fastchat_worker.errors import LoadError
from fastchat_worker.kv.memory import Room, plan

TOKEN = 1000  # bytes


def _plan(tokens: int, model_len: int = 8192, wanted_len: int | None = None, wanted_slots: int = 16) -> Room:
    """The plan where the cache may have so many tokens."""
    return plan(int(tokens * TOKEN / 0.8) + 1, TOKEN, model_len, wanted_len, wanted_slots)


def test_with_memory_enough_all_is_as_wanted():
    assert _plan(16 * 8192) == Room(16, 8192)


def test_where_memory_is_short_fewer_sequences_run_at_once():
    assert _plan(5 * 8192) == Room(5, 8192)


def test_below_four_sequences_the_context_gets_shorter():
    assert _plan(4 * 3000) == Room(4, 3000)


def test_below_2048_tokens_it_does_not():
    assert _plan(5000) == Room(2, 2048)


def test_a_length_that_was_asked_for_is_kept():
    assert _plan(8192, wanted_len=8192) == Room(1, 8192)
    assert _plan(16 * 8192, wanted_len=100) == Room(16, 100)


def test_no_length_is_beyond_the_models_own():
    assert _plan(10**6, model_len=512, wanted_len=8192) == Room(16, 512)


def test_no_room_for_one_sequence_says_what_to_lower():
    with pytest.raises(LoadError, match=r"2048 tokens.*lower --max-model-len"):
        _plan(2000)


def test_of_ended_sequences_all_of_a_gpus_room_may_stay_and_a_quarter_of_a_cpus_or_one_sequence():
    assert Room(16, 1000).kept_tokens("cuda") == 16_000
    assert Room(16, 1000).kept_tokens("cpu") == 4000
    assert Room(2, 1000).kept_tokens("cpu") == 1000
