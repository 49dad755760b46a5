"""Which sequences take part in a step, and where their keys and values go."""

import random

from fastchat_worker.engine.scheduler import Scheduler
from fastchat_worker.engine.sequence import Phase, Sequence
from fastchat_worker.kv.edits import Clear, Edit, Move
from fastchat_worker.kv.paged import PagedCache
from fastchat_worker.kv.slots import SlotCache


def _sequence(length: int, max_tokens: int = 4) -> Sequence:
    return Sequence(list(range(length)), max_tokens)


def _scheduler(slots: int, budget: int) -> Scheduler:
    return Scheduler(SlotCache(slots), budget, max_waiting=99)


def _step(scheduler: Scheduler) -> None:
    batch = scheduler.schedule()
    assert batch is not None
    for sequence in batch.sampled:
        sequence.append(7)
    scheduler.retire()


def test_a_prompt_longer_than_the_budget_is_read_in_chunks():
    scheduler = _scheduler(slots=2, budget=8)
    scheduler.add(_sequence(20))
    lengths = []
    while (batch := scheduler.schedule()) and batch.chunks:
        lengths.append(batch.chunks[0].length)
    assert lengths == [8, 8, 4]


def test_only_the_chunk_that_completes_a_prompt_gets_a_token():
    scheduler = _scheduler(slots=1, budget=8)
    scheduler.add(_sequence(10))
    assert [len(batch.sampled) for batch in (scheduler.schedule(), scheduler.schedule()) if batch] == [0, 1]


def test_a_sequence_joins_while_another_decodes():
    scheduler = _scheduler(slots=2, budget=8)
    first, second = _sequence(3), _sequence(5)
    scheduler.add(first)
    _step(scheduler)
    scheduler.add(second)
    batch = scheduler.schedule()
    assert batch is not None
    assert batch.decode == (first,)
    assert [(chunk.sequence, chunk.slot, chunk.length) for chunk in batch.chunks] == [(second, 1, 5)]


def test_decoding_is_never_crowded_out_by_prompts():
    scheduler = _scheduler(slots=4, budget=4)
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
    scheduler = _scheduler(slots=1, budget=8)
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


def test_a_sequence_passes_through_its_phases():
    scheduler = _scheduler(slots=1, budget=8)
    other, sequence = _sequence(1, 1), _sequence(12, 2)
    scheduler.add(other)
    scheduler.add(sequence)
    phases = [sequence.phase]
    for _ in range(4):
        _step(scheduler)
        phases.append(sequence.phase)
    assert phases == [Phase.WAITING, Phase.WAITING, Phase.PREFILL, Phase.DECODE, Phase.FINISHED]
    assert sequence.finish == "length"


def test_a_waiting_sequence_that_was_cancelled_never_runs():
    scheduler = _scheduler(slots=1, budget=8)
    first, second = _sequence(1), _sequence(1)
    scheduler.add(first)
    scheduler.add(second)
    scheduler.schedule()
    second.end("cancelled")
    scheduler.retire()
    assert not scheduler.waiting


class PlayedCache:
    """The cache as lists of (sequence, position): shows whether a slot holds what its sequence has fed, and no more."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.slots: list[list[tuple[int, int]]] = [[] for _ in range(scheduler.slots)]

    def write(self, slot: int, sequence: Sequence, start: int, end: int) -> None:
        assert len(self.slots[slot]) == start
        self.slots[slot] += [(id(sequence), position) for position in range(start, end)]

    def apply(self, edit: Edit) -> None:
        if isinstance(edit, Move):
            assert not self.slots[edit.target]
            assert len(self.slots[edit.source]) == edit.length
            self.slots[edit.target], self.slots[edit.source] = self.slots[edit.source], []
        else:
            assert isinstance(edit, Clear)
            assert len(self.slots[edit.slot]) == edit.end
            self.slots[edit.slot] = []

    def step(self) -> None:
        batch = self.scheduler.schedule()
        if batch is None:
            return
        for edit in batch.edits:
            self.apply(edit)
        for slot, sequence in enumerate(batch.decode):
            self.write(slot, sequence, sequence.cached - 1, sequence.cached)
        for chunk in batch.chunks:
            self.write(chunk.slot, chunk.sequence, chunk.start, chunk.end)
        self.check()
        for sequence in batch.sampled:
            sequence.append(7)
        self.scheduler.retire()

    def check(self) -> None:
        holders = [*self.scheduler.running]
        for slot, content in enumerate(self.slots):
            sequence = holders[slot] if slot < len(holders) else None
            assert content == [(id(sequence), position) for position in range(sequence.cached if sequence else 0)]


def test_after_any_history_every_sequence_finds_its_own_cache_and_nothing_of_another():
    chance = random.Random(5)
    kept = []  # ids are unique only among the living
    for _ in range(200):
        played = PlayedCache(_scheduler(slots=4, budget=6))
        for _ in range(60):
            if chance.random() < 0.4:
                kept.append(_sequence(chance.randint(1, 15), chance.randint(1, 8)))
                played.scheduler.add(kept[-1])
            if played.scheduler.running and chance.random() < 0.1:
                chance.choice(played.scheduler.running).end("cancelled")
                played.scheduler.retire()
            played.step()


def _shared(slots: int, budget: int) -> Scheduler:
    return Scheduler(PagedCache(slots, 64, 4, 256), budget, max_waiting=99)


def test_a_prompt_that_comes_several_times_at_once_is_read_once():
    scheduler, prompt = _shared(slots=4, budget=8), list(range(22))
    sequences = [Sequence([*prompt, number], 1) for number in range(4)]
    for sequence in sequences:
        scheduler.add(sequence)
    lengths = []
    while batch := scheduler.schedule():
        lengths.append([chunk.length for chunk in batch.chunks])
        for sequence in batch.sampled:
            sequence.append(7)
        scheduler.retire()
    assert lengths == [[8], [8], [7], [1, 1, 1]]
    assert [sequence.reused for sequence in sequences] == [0, 22, 22, 22]


def test_who_waits_for_a_prompt_whose_reader_is_cancelled_reads_it():
    scheduler, prompt = _shared(slots=2, budget=8), list(range(22))
    reader, waiting = Sequence(prompt, 1), Sequence(prompt, 1)
    scheduler.add(reader)
    scheduler.add(waiting)
    scheduler.schedule()
    assert waiting.phase is Phase.WAITING
    reader.end("cancelled")
    scheduler.retire()
    batch = scheduler.schedule()
    assert batch is not None
    assert [(chunk.sequence, chunk.start) for chunk in batch.chunks] == [(waiting, 8)]
