"""Which sequence has which slot, and what is moved, copied and cleared when one comes or ends."""

import pytest

from fastchat_worker.engine.sequence import Sequence, Wanted
from fastchat_worker.kv import slots
from fastchat_worker.kv.cache import Match
from fastchat_worker.kv.edits import Clear, Copy, Edit, Move, Rotate
from fastchat_worker.kv.slots import SlotCache


@pytest.fixture(autouse=True)
def _short_texts_count(monkeypatch):
    monkeypatch.setattr(slots, "_LEAST", 2)


def _filled(
    capacity: int, *prompts_and_tokens: tuple[int, int], most_kept: int = 0
) -> tuple[SlotCache[Sequence], list[Sequence]]:
    """A cache with sequences of (tokens of the prompt, tokens cached); each prompt has tokens of its own."""
    cache: SlotCache[Sequence] = SlotCache(capacity, most_kept)
    sequences = [Sequence([at] * prompt, 9) for at, (prompt, _) in enumerate(prompts_and_tokens)]
    for sequence, (_, tokens) in zip(sequences, prompts_and_tokens, strict=True):
        assert cache.allocate(sequence)
        cache.append(sequence, tokens)
    return cache, sequences


def _ended(cache: SlotCache[Sequence], prompt: list[int], finish: str = "length", owner: str = "") -> None:
    sequence = Sequence(prompt, 9, owner=owner)
    assert cache.allocate(sequence)
    cache.append(sequence, len(prompt) - sequence.cached)
    sequence.end(finish)
    cache.free(sequence)


def _allocated(cache: SlotCache[Sequence], prompt: list[int], owner: str = "") -> tuple[int, tuple[Edit, ...]]:
    """What a new sequence finds, and what has to be done for it."""
    cache.take_edits()
    sequence = Sequence(prompt, 9, owner=owner)
    assert cache.allocate(sequence)
    return sequence.cached, cache.take_edits()


def test_there_is_room_for_as_many_as_there_are_slots():
    cache, (first,) = _filled(1, (3, 3))
    assert not cache.allocate(Sequence([1], 9))
    cache.free(first)
    assert cache.allocate(Sequence([1], 9))


def test_the_last_sequence_that_decodes_moves_into_the_hole_of_one_that_ended():
    cache, (short, long, longer) = _filled(3, (2, 2), (3, 3), (4, 4))
    cache.free(short)
    assert cache.take_edits() == (Clear(0, 2), Move(2, 0, 4))
    assert cache.sequences == [longer, long]


def test_a_half_read_prompt_moves_up_with_what_is_cached_of_it():
    cache, (short, long, unread) = _filled(3, (2, 2), (20, 4), (9, 0))
    cache.free(short)
    assert cache.take_edits() == (Clear(0, 2), Move(1, 0, 4))
    assert cache.sequences == [long, unread]


def test_a_prompt_that_was_never_begun_leaves_nothing_to_clear():
    cache, (_, unread) = _filled(2, (2, 2), (9, 0))
    cache.free(unread)
    assert cache.take_edits() == ()


def test_edits_are_handed_out_once():
    cache, (only,) = _filled(1, (2, 2))
    cache.free(only)
    assert cache.take_edits() == (Clear(0, 2),)
    assert cache.take_edits() == ()


def test_a_text_that_is_kept_goes_behind_those_that_run():
    cache, (short, _, longer) = _filled(3, (2, 2), (3, 3), (20, 4), most_kept=3)
    cache.free(short)
    assert cache.take_edits() == (Rotate((0, 1, 2), (2, 3, 4)),)
    assert (cache.sequences[1], cache.kept, cache.in_use) == (longer, 2, 7)


def test_the_next_turn_takes_over_the_slot_of_the_turn_before():
    cache: SlotCache[Sequence] = SlotCache(2, 2)
    _ended(cache, [1, 2, 3, 4])
    assert _allocated(cache, [1, 2, 3, 4, 5]) == (4, ())


def test_of_a_slot_that_is_taken_over_the_rest_is_cleared():
    cache: SlotCache[Sequence] = SlotCache(2, 2)
    _ended(cache, [1, 2, 3, 4])
    assert _allocated(cache, [1, 2, 3, 9, 9]) == (3, (Clear(0, 4, first=3),))


def test_a_text_in_another_slot_changes_places_with_what_is_where_the_new_sequence_goes():
    cache: SlotCache[Sequence] = SlotCache(2, 2)
    _ended(cache, [1, 2, 3, 4])
    _ended(cache, [5, 6, 7])
    assert _allocated(cache, [1, 2, 3, 4, 8]) == (4, (Rotate((0, 1), (3, 4)),))
    assert cache.match(Sequence([5, 6, 7, 8], 9)) == Match(3)


def test_of_a_long_text_the_beginning_is_copied_while_a_slot_is_empty():
    cache: SlotCache[Sequence] = SlotCache(3, 3)
    _ended(cache, [1, 2, 3, 4, 5, 6, 7, 8])
    assert _allocated(cache, [1, 2, 9, 9]) == (2, (Move(0, 1, 8), Copy(1, 0, 2)))
    assert cache.match(Sequence([1, 2, 3, 4, 5, 6, 7, 8, 9], 9)) == Match(8)


def test_what_runs_is_copied():
    cache: SlotCache[Sequence] = SlotCache(3, 3)
    _allocated(cache, [1, 2, 3, 4])
    cache.append(cache.sequences[0], 4)
    assert _allocated(cache, [1, 2, 3, 5]) == (3, (Copy(0, 1, 3),))


def test_the_least_recently_used_text_makes_room():
    cache: SlotCache[Sequence] = SlotCache(2, 2)
    for prompt in ([1, 1, 1], [2, 2, 2]):
        _ended(cache, prompt)
    assert _allocated(cache, [3, 3, 3]) == (0, (Clear(1, 3), Move(0, 1, 3)))
    assert [cache.match(Sequence([*prompt, 0], 9)).held for prompt in ([1, 1, 1], [2, 2, 2])] == [0, 3]


def test_what_another_just_reads_is_coming():
    cache: SlotCache[Sequence] = SlotCache(3, 3)
    _allocated(cache, [1, 2, 3, 4])
    assert cache.match(Sequence([1, 2, 3, 4, 5], 9)) == Match(0, 4)
    cache.append(cache.sequences[0], 4)
    assert cache.match(Sequence([1, 2, 3, 4, 5], 9)) == Match(4)


@pytest.mark.parametrize(("finish", "owner"), [("error", ""), ("length", "another")])
def test_nothing_is_found_of_one_that_failed_or_of_another_owner(finish, owner):
    cache: SlotCache[Sequence] = SlotCache(2, 2)
    _ended(cache, [1, 2, 3, 4], finish, owner)
    assert cache.match(Sequence([1, 2, 3, 4, 5], 9)) == Match()


def test_tokens_whose_scores_are_wanted_are_read():
    cache: SlotCache[Sequence] = SlotCache(2, 2)
    _ended(cache, [1, 2, 3, 4])
    assert cache.match(Sequence([1, 2, 3, 4, 5], 9, wanted=Wanted(prompt=0))) == Match()


def test_after_a_reset_nothing_is_found_and_all_that_was_written_is_cleared():
    cache: SlotCache[Sequence] = SlotCache(3, 3)
    _ended(cache, [1, 2, 3, 4])
    _ended(cache, [5, 6, 7])
    cache.reset()
    assert cache.take_edits() == (Clear(0, 4), Clear(1, 4))
    assert (cache.kept, cache.match(Sequence([1, 2, 3, 4, 5], 9))) == (0, Match())
