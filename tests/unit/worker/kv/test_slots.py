"""Which sequence has which slot, and what is copied and cleared when one ends."""

from dataclasses import dataclass

from fastchat_worker.kv.edits import Clear, Move
from fastchat_worker.kv.slots import SlotCache


@dataclass(eq=False)
class Cached:
    prompt: int
    cached: int = 0
    reused: int | None = None

    @property
    def to_read(self) -> int:
        return self.prompt

    @property
    def prompt_cached(self) -> bool:
        return self.cached >= self.prompt


def _filled(capacity: int, *prompts_and_tokens: tuple[int, int]) -> tuple[SlotCache[Cached], list[Cached]]:
    """A cache with sequences of (tokens of the prompt, tokens cached)."""
    cache: SlotCache[Cached] = SlotCache(capacity)
    sequences = [Cached(prompt) for prompt, _ in prompts_and_tokens]
    for sequence, (_, tokens) in zip(sequences, prompts_and_tokens, strict=True):
        assert cache.allocate(sequence)
        cache.append(sequence, tokens)
    return cache, sequences


def test_there_is_room_for_as_many_as_there_are_slots():
    cache, (first,) = _filled(1, (3, 3))
    assert not cache.allocate(Cached(1))
    cache.free(first)
    assert cache.allocate(Cached(1))


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
