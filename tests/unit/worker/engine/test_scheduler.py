"""Which sequences take part in a step, and where their keys and values go."""

import random

from fastchat_worker.engine.scheduler import Scheduler
from fastchat_worker.engine.sequence import Sequence
from fastchat_worker.kv.edits import Move


def _sequence(length: int, max_tokens: int = 4) -> Sequence:
    return Sequence(list(range(length)), max_tokens)


def _step(scheduler: Scheduler) -> list[Move]:
    batch = scheduler.schedule()
    assert batch is not None
    for sequence in batch.sampled:
        sequence.append(7)
    return scheduler.retire()


def test_a_prompt_longer_than_the_budget_is_read_in_chunks():
    scheduler = Scheduler(slots=2, budget=8, max_waiting=9)
    scheduler.add(_sequence(20))
    lengths = []
    while (batch := scheduler.schedule()) and batch.chunks:
        lengths.append(batch.chunks[0].length)
    assert lengths == [8, 8, 4]


def test_only_the_chunk_that_completes_a_prompt_gets_a_token():
    scheduler = Scheduler(slots=1, budget=8, max_waiting=9)
    scheduler.add(_sequence(10))
    assert [len(batch.sampled) for batch in (scheduler.schedule(), scheduler.schedule()) if batch] == [0, 1]


def test_a_sequence_joins_while_another_decodes():
    scheduler = Scheduler(slots=2, budget=8, max_waiting=9)
    first, second = _sequence(3), _sequence(5)
    scheduler.add(first)
    _step(scheduler)
    scheduler.add(second)
    batch = scheduler.schedule()
    assert batch is not None
    assert batch.decode == (first,)
    assert [(chunk.sequence, chunk.slot, chunk.length) for chunk in batch.chunks] == [(second, 1, 5)]


def test_decoding_is_never_crowded_out_by_prompts():
    scheduler = Scheduler(slots=4, budget=4, max_waiting=9)
    for _ in range(3):
        scheduler.add(_sequence(1, max_tokens=99))
    scheduler.add(_sequence(50))
    for _ in range(5):
        batch = scheduler.schedule()
        assert batch is not None
        for sequence in batch.sampled:
            sequence.append(7)
    assert len(batch.decode) == 3
    assert batch.chunks[0].length == scheduler.budget - 3


def test_sequences_wait_for_a_slot_in_the_order_they_came():
    scheduler = Scheduler(slots=1, budget=8, max_waiting=9)
    first, second, third = _sequence(1, 1), _sequence(1, 1), _sequence(1, 1)
    for sequence in (first, second, third):
        scheduler.add(sequence)
    order = []
    while batch := scheduler.schedule():
        order += batch.sampled
        for sequence in batch.sampled:
            sequence.append(7)
        scheduler.retire()
    assert order == [first, second, third]


def test_the_last_decoding_sequence_moves_into_the_hole_of_one_that_ended():
    scheduler = Scheduler(slots=3, budget=30, max_waiting=9)
    short, long, longer = _sequence(2, 1), _sequence(3, 9), _sequence(4, 9)
    for sequence in (short, long, longer):
        scheduler.add(sequence)
    assert _step(scheduler) == [Move(2, 0, 4)]
    assert scheduler.running == [longer, long]


def test_a_half_read_prompt_moves_up_with_what_is_cached_of_it():
    scheduler = Scheduler(slots=2, budget=6, max_waiting=9)
    short, long = _sequence(2, 1), _sequence(20, 9)
    scheduler.add(short)
    scheduler.add(long)
    assert _step(scheduler) == [Move(1, 0, 4)]
    assert scheduler.running == [long]


def test_a_waiting_sequence_that_was_cancelled_never_runs():
    scheduler = Scheduler(slots=1, budget=8, max_waiting=9)
    first, second = _sequence(1), _sequence(1)
    scheduler.add(first)
    scheduler.add(second)
    scheduler.schedule()
    second.end("cancelled")
    scheduler.retire()
    assert not scheduler.waiting


class PlayedCache:
    """The cache as lists of (sequence, position): shows whether a slot holds what its sequence has fed."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.slots: list[list[tuple[int, int]]] = [[] for _ in range(scheduler.slots)]

    def write(self, slot: int, sequence: Sequence, start: int, end: int) -> None:
        self.slots[slot][start:] = [(id(sequence), position) for position in range(start, end)]

    def retire(self) -> None:
        for move in self.scheduler.retire():
            self.slots[move.target][: move.length] = self.slots[move.source][: move.length]

    def step(self) -> None:
        batch = self.scheduler.schedule()
        if batch is None:
            return
        for slot, sequence in enumerate(batch.decode):
            self.write(slot, sequence, sequence.cached - 1, sequence.cached)
        for chunk in batch.chunks:
            self.write(chunk.slot, chunk.sequence, chunk.start, chunk.end)
        self.check()
        for sequence in batch.sampled:
            sequence.append(7)
        self.retire()

    def check(self) -> None:
        for slot, sequence in enumerate(self.scheduler.running):
            expected = [(id(sequence), position) for position in range(sequence.cached)]
            assert self.slots[slot][: sequence.cached] == expected


def test_after_any_history_every_sequence_finds_its_own_cache():
    chance = random.Random(5)
    kept = []  # ids are unique only among the living
    for _ in range(200):
        played = PlayedCache(Scheduler(slots=4, budget=6, max_waiting=99))
        for _ in range(60):
            if chance.random() < 0.4:
                kept.append(_sequence(chance.randint(1, 15), chance.randint(1, 8)))
                played.scheduler.add(kept[-1])
            if played.scheduler.running and chance.random() < 0.1:
                chance.choice(played.scheduler.running).end("cancelled")
                played.retire()
            played.step()
