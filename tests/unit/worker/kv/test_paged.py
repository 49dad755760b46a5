"""What of a new sequence is found in blocks, who shares them, and when they are given up."""

from fastchat_worker.engine.sequence import Sequence, Wanted
from fastchat_worker.kv.cache import Match
from fastchat_worker.kv.edits import Assign, CopyBlock, Move
from fastchat_worker.kv.paged import PagedCache

BLOCK = 4


def _cache(slots: int = 3, most_kept: int = 64) -> PagedCache[Sequence]:
    return PagedCache(slots, 32, BLOCK, most_kept)


def _read(cache: PagedCache[Sequence], prompt: list[int], **fields) -> Sequence:
    """A sequence whose prompt has been read."""
    sequence = Sequence(prompt, 9, **fields)
    assert cache.allocate(sequence)
    cache.append(sequence, len(prompt) - sequence.cached)
    return sequence


def _ended(cache: PagedCache[Sequence], prompt: list[int], finish: str = "length", **fields) -> None:
    sequence = _read(cache, prompt, **fields)
    sequence.end(finish)
    cache.free(sequence)


def _held(cache: PagedCache[Sequence], prompt: list[int], **fields) -> int:
    return cache.match(Sequence(prompt, 9, **fields)).held


def test_what_a_sequence_that_ended_has_read_is_found_by_who_begins_alike():
    cache = _cache()
    _ended(cache, [1, 2, 3, 4, 5, 6, 7, 8, 9])
    assert _held(cache, [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]) == 9
    assert _held(cache, [1, 2, 3, 4, 5, 6, 7, 0, 9]) == 7
    assert _held(cache, [0, 2, 3, 4, 5, 6, 7, 8, 9]) == 0


def test_of_a_block_that_is_found_in_part_there_is_a_copy():
    cache = _cache()
    _ended(cache, [1, 2, 3, 4, 5, 6, 7, 8, 9])
    cache.take_edits()
    _read(cache, [1, 2, 3, 4, 5, 6, 0, 0])
    assert cache.take_edits() == (CopyBlock(1, 3), Assign(0, 0, (0, 3)))


def test_of_one_that_runs_the_block_that_is_not_full_is_copied_too():
    cache = _cache()
    _read(cache, [1, 2, 3, 4, 5, 6])
    assert _held(cache, [1, 2, 3, 4, 5, 6, 7]) == 6


def test_a_copied_block_is_there_though_its_room_is_needed_at_once():
    cache = PagedCache[Sequence](1, 8, BLOCK, 99)
    _ended(cache, [1, 2, 3, 4, 5, 6])
    cache.take_edits()
    assert _read(cache, [1, 2, 3, 9, 9, 9]).reused == 3
    assert cache.take_edits() == (CopyBlock(0, 1), Assign(0, 0, (1,)), Assign(0, 1, (0,)))


def test_the_last_token_of_a_prompt_is_always_read_because_its_logits_are_wanted():
    cache = _cache()
    _ended(cache, [1, 2, 3, 4, 5, 6, 7, 8])
    assert _held(cache, [1, 2, 3, 4, 5, 6, 7, 8]) == 7


def test_two_that_run_share_the_blocks_that_they_have_in_common():
    cache = _cache()
    first = _read(cache, [1, 2, 3, 4, 5])
    second = _read(cache, [1, 2, 3, 4, 6])
    assert (first.reused, second.reused, cache.in_use) == (0, 4, 3 * BLOCK)
    cache.free(first)
    assert cache.in_use == 2 * BLOCK


def test_what_another_just_reads_is_coming_until_it_has_been_read():
    cache = _cache()
    reader = Sequence(list(range(10)), 9)
    cache.allocate(reader)
    assert cache.match(Sequence(list(range(10)), 9)) == Match(0, 9)
    cache.append(reader, 5)
    assert cache.match(Sequence(list(range(10)), 9)) == Match(5, 4)
    cache.append(reader, 5)
    assert cache.match(Sequence(list(range(10)), 9)) == Match(9, 0)


def test_what_was_not_read_before_its_reader_left_is_not_found():
    cache = _cache()
    reader = Sequence(list(range(10)), 9)
    cache.allocate(reader)
    cache.append(reader, 5)
    cache.free(reader)
    assert cache.match(Sequence(list(range(10)), 9)) == Match(5, 0)


def test_owners_do_not_find_each_others_blocks():
    cache = _cache()
    _ended(cache, [1, 2, 3, 4, 5], owner="alice")
    assert _held(cache, [1, 2, 3, 4, 5], owner="bob") == 0
    assert _held(cache, [1, 2, 3, 4, 5], owner="alice") == 4


def test_a_sequence_that_failed_gives_up_its_blocks_and_what_follows_on_them():
    cache = _cache()
    _ended(cache, [1, 2, 3, 4, 9, 9, 9, 9, 9])
    _ended(cache, [1, 2, 3, 4, 5, 6, 7, 8, 9], "error")
    assert _held(cache, [1, 2, 3, 4, 9, 9, 9, 9, 9]) == 0
    assert (cache.in_use, cache.kept) == (0, 0)


def test_blocks_of_one_that_failed_stay_with_those_that_use_them_and_are_free_after_them():
    cache = _cache()
    failed = _read(cache, [1, 2, 3, 4, 5])
    other = _read(cache, [1, 2, 3, 4, 6, 7, 8, 9, 1])
    failed.end("error")
    cache.free(failed)
    assert (other.cached, _held(cache, [1, 2, 3, 4, 5])) == (9, 0)
    cache.free(other)
    assert (cache.in_use, cache.kept) == (0, 0)


def test_of_those_kept_the_least_recently_used_go_first_and_the_ends_of_texts_before_their_beginnings():
    cache = _cache(most_kept=3 * BLOCK)
    _ended(cache, [1, 1, 1, 1, 2, 2, 2, 2])
    _ended(cache, [3, 3, 3, 3])
    _ended(cache, [4, 4, 4, 4])
    held = [_held(cache, [*prompt, 0]) for prompt in ([1, 1, 1, 1, 2, 2, 2, 2], [3, 3, 3, 3], [4, 4, 4, 4])]
    assert (held, cache.kept) == ([4, 4, 4], 12)


def test_kept_blocks_make_room_for_those_that_run():
    cache = PagedCache[Sequence](2, 8, BLOCK, 99)
    _ended(cache, [1, 2, 3, 4, 5])
    for number in (6, 7):
        _read(cache, [number] * 8)
    assert (cache.in_use, cache.kept, _held(cache, [1, 2, 3, 4, 5])) == (16, 0, 0)


def test_with_nothing_to_be_kept_nothing_is_found():
    cache = _cache(most_kept=0)
    _read(cache, [1, 2, 3, 4, 5])
    assert cache.match(Sequence([1, 2, 3, 4, 5], 9)) == Match()


def test_tokens_whose_scores_are_wanted_are_read():
    cache = _cache()
    _ended(cache, [1, 2, 3, 4, 5])
    assert _held(cache, [1, 2, 3, 4, 5], wanted=Wanted(prompt=0)) == 0


def test_what_was_generated_is_found_by_the_next_turn():
    cache = _cache()
    sequence = _read(cache, [1, 2, 3, 4, 5])
    for token in (6, 7, 8, 9):
        sequence.append(token)
        cache.append(sequence, 1)
    sequence.end("length")
    cache.free(sequence)
    assert _held(cache, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]) == 9


def test_after_a_reset_nothing_is_found():
    cache = _cache()
    _ended(cache, [1, 2, 3, 4, 5])
    _read(cache, [6, 7])
    cache.reset()
    assert (cache.sequences, cache.in_use, cache.kept, cache.take_edits()) == ([], 0, 0, ())
    assert _held(cache, [1, 2, 3, 4, 5]) == 0


def test_a_table_is_handed_out_as_it_grows_and_moves_with_its_sequence():
    cache = _cache()
    first = _read(cache, [1, 2, 3])
    second = _read(cache, [5, 6, 7, 8])
    cache.append(second, 1)
    assert cache.take_edits() == (Assign(0, 0, (0,)), Assign(1, 0, (1,)), Assign(1, 1, (2,)))
    cache.free(first)
    assert cache.take_edits() == (Move(1, 0, 5),)


def test_lookups_count_each_sequence_once():
    cache = _cache()
    _ended(cache, [1, 2, 3, 4, 5])
    sequence = _read(cache, [1, 2, 3, 4, 5])
    cache.free(sequence)
    sequence.begin_anew()
    cache.allocate(sequence)
    assert (cache.lookups.asked, cache.lookups.found, sequence.reused) == (10, 4, 4)
