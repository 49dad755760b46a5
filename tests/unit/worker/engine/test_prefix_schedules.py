"""Random schedules of arrivals, forks, cancellations and failures: no block stays behind, every text is a fresh run's.

FASTCHAT_TEST_SCHEDULES says how many of each cache; the model counts, and its tokens depend on all that the cache has.
"""

import os
import random
from collections.abc import Callable, Iterator

import pytest

from fastchat_worker.engine.executor import ModelInput
from fastchat_worker.engine.loop import Engine
from fastchat_worker.engine.scheduler import Scheduler
from fastchat_worker.engine.sequence import Phase, Sequence, Wanted
from fastchat_worker.kv import slots
from fastchat_worker.kv.blocks import Block
from fastchat_worker.kv.paged import PagedCache
from fastchat_worker.kv.slots import SlotCache

from .remembering import BAD, NAN, PagedMemory, Remembering, SlotMemory, text_after, token_after

SCHEDULES = int(os.environ.get("FASTCHAT_TEST_SCHEDULES", "25"))
MAX_LEN, BLOCK = 64, 4


class Schedule:
    """One random schedule, carried out step by step on this thread."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.fails_next = False
        self.slots = self.random.randint(1, 5)
        self.sequences: list[Sequence] = []
        self.openings = [self._tokens(self.random.randint(1, 30)) for _ in range(3)]

    def run(self, memory: PagedMemory | SlotMemory, cache: PagedCache | SlotCache, check: Callable[[], None]) -> None:
        budget = self.random.choice([3, 8, 40])
        engine = Engine(Remembering(memory, self._fails), Scheduler(cache, budget, max_waiting=999))
        for _ in range(40):
            self._happen(engine)
            engine._step()
        while engine._step():
            check()
        assert (engine.running, engine.waiting, cache.in_use) == (0, 0, 0)
        for sequence in self.sequences:
            _check_text(sequence)

    def _happen(self, engine: Engine) -> None:
        roll = self.random.random()
        if roll < 0.4:
            self._arrive(engine)
        elif roll < 0.5 and self.sequences:
            engine.cancel([self.random.choice(self.sequences)])
        elif roll < 0.55:
            self.fails_next = True

    def _arrive(self, engine: Engine) -> None:
        """One request: some choices of a prompt that is new, a fork of another's text, or its next turn."""
        begin = list(self.random.choice(self.openings))
        if self.sequences and self.random.random() < 0.6:
            other = self.random.choice(self.sequences)
            begin = [*other.prompt, *other.tokens][: self.random.randint(1, 50)]
        prompt = [*begin, *self._tokens(self.random.randint(0, 9))][:50]
        if self.random.random() < 0.06:
            prompt[self.random.randrange(len(prompt))] = self.random.choice([BAD, NAN])
        tokens = self.random.randint(0, MAX_LEN - len(prompt))
        wanted = Wanted(prompt=0) if self.random.random() < 0.1 else Wanted()
        owner = self.random.choice(["", "", "", "another"])
        choices = self.random.choice([1, 1, 1, 4])
        new = [Sequence(prompt, tokens, wanted=wanted, owner=owner) for _ in range(choices)]
        engine.submit(new, self.random.choice(["alice", "bob"]))
        self.sequences += new

    def _tokens(self, number: int) -> list[int]:
        return self.random.choices(range(5), k=number)

    def _fails(self, step: ModelInput) -> bool:
        if self.fails_next and len(set(step.batch.slots)) > 1:  # alone it would be the sequence's own fault
            self.fails_next = False
            return True
        return BAD in step.batch.tokens


def _check_text(sequence: Sequence) -> None:
    """It is that of a fresh run, as far as it came."""
    assert sequence.phase is Phase.FINISHED
    expected = text_after(sequence.prompt, sequence.max_tokens)
    if {BAD, NAN} & set(sequence.prompt):
        assert sequence.finish in ("error", "cancelled") or not sequence.max_tokens
        return
    if sequence.finish == "cancelled":
        assert sequence.tokens == expected[: len(sequence.tokens)]
    else:
        assert (sequence.finish, sequence.tokens) == ("length", expected)
        scored = range(1, len(sequence.prompt)) if sequence.wanted.prompt is not None else ()
        assert [score.logprob for score in sequence.prompt_scores] == [
            token_after(sequence.prompt[:at]) for at in scored
        ]


def _check_blocks(cache: PagedCache[Sequence]) -> None:
    """Nobody has a block that another writes, none is lost, and those that can be found are used or kept."""
    pool = cache._pool
    used = {block for table in cache._tables.values() for block in table.blocks}
    assert pool.in_use == len(used)
    assert not used & pool._kept.keys()
    numbers = [block.number for block in (*used, *pool._kept)] + pool._free
    assert sorted(numbers) == list(range(len(numbers)))
    assert len(numbers) <= pool.blocks
    assert pool.kept <= pool.most_kept
    assert set(_below(pool.root)) - used == pool._kept.keys()


def _below(block: Block) -> Iterator[Block]:
    for child in block.children.values():
        yield child
        yield from _below(child)


@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_of_blocks_none_stays_behind_and_every_text_is_a_fresh_runs(seed, caplog):
    schedule = Schedule(seed)
    most_kept = schedule.random.choice([0, BLOCK, 20, schedule.slots * MAX_LEN])
    cache: PagedCache[Sequence] = PagedCache(schedule.slots, MAX_LEN, BLOCK, most_kept)
    with caplog.at_level("CRITICAL"):
        schedule.run(PagedMemory(BLOCK), cache, lambda: _check_blocks(cache))


@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_of_slots_none_is_lost_and_every_text_is_a_fresh_runs(seed, caplog, monkeypatch):
    monkeypatch.setattr(slots, "_LEAST", 3)
    schedule = Schedule(seed)
    cache: SlotCache[Sequence] = SlotCache(schedule.slots, schedule.random.randint(0, schedule.slots))

    def check() -> None:
        kept = [slot for slot, _ in cache._texts]
        assert len(kept) <= cache._most_kept
        assert all(len(cache.sequences) <= slot < schedule.slots for slot in kept)

    with caplog.at_level("CRITICAL"):
        schedule.run(SlotMemory(schedule.slots, MAX_LEN), cache, check)
