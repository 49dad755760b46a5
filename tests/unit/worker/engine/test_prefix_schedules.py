"""Random schedules of arrivals, forks, cancellations and failures: no block stays behind, every text is a fresh run's.

FASTCHAT_TEST_SCHEDULES says how many; the model counts, and its tokens depend on every token that the cache has.
"""

import os
import random
from collections.abc import Iterator

import pytest
from support.remembering import BAD, NAN, PagedMemory, Remembering, text_after

from fastchat_worker.engine.executor import ModelInput
from fastchat_worker.engine.loop import Engine
from fastchat_worker.engine.scheduler import Scheduler
from fastchat_worker.engine.sequence import Phase, Sequence
from fastchat_worker.kv.blocks import Block
from fastchat_worker.kv.paged import PagedCache

SCHEDULES = int(os.environ.get("FASTCHAT_TEST_SCHEDULES", "60"))
MAX_LEN, BLOCK = 64, 4


class Schedule:
    """One random schedule, carried out step by step on this thread."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        slots = self.random.randint(1, 5)
        most_kept = self.random.choice([0, BLOCK, 20, slots * MAX_LEN])
        self.cache: PagedCache[Sequence] = PagedCache(slots, MAX_LEN, BLOCK, most_kept)
        self.fails_next = False
        self.engine = Engine(
            Remembering(PagedMemory(BLOCK), self._fails),
            Scheduler(self.cache, self.random.choice([3, 8, 40]), max_waiting=999),
        )
        self.sequences: list[Sequence] = []
        self.openings = [self._tokens(self.random.randint(1, 30)) for _ in range(3)]

    def run(self) -> None:
        for _ in range(40):
            self._happen()
            self.engine._step()
        while self.engine._step():
            self._check_blocks()

    def _happen(self) -> None:
        roll = self.random.random()
        if roll < 0.4:
            self._arrive()
        elif roll < 0.5 and self.sequences:
            self.engine.cancel([self.random.choice(self.sequences)])
        elif roll < 0.55:
            self.fails_next = True

    def _arrive(self) -> None:
        """One request: some choices of a prompt that is new, a fork of another's text, or its next turn."""
        begin = list(self.random.choice(self.openings))
        if self.sequences and self.random.random() < 0.6:
            other = self.random.choice(self.sequences)
            begin = [*other.prompt, *other.tokens][: self.random.randint(1, 50)]
        prompt = [*begin, *self._tokens(self.random.randint(0, 9))][:50]
        if self.random.random() < 0.06:
            prompt[self.random.randrange(len(prompt))] = self.random.choice([BAD, NAN])
        tokens = self.random.randint(0, MAX_LEN - len(prompt))
        owner = self.random.choice(["", "", "", "another"])
        new = [Sequence(prompt, tokens, owner=owner) for _ in range(self.random.choice([1, 1, 1, 4]))]
        self.engine.submit(new, self.random.choice(["alice", "bob"]))
        self.sequences += new

    def _tokens(self, number: int) -> list[int]:
        return self.random.choices(range(5), k=number)

    def _fails(self, step: ModelInput) -> bool:
        if self.fails_next and len(set(step.batch.slots)) > 1:  # alone it would be the sequence's own fault
            self.fails_next = False
            return True
        return BAD in step.batch.tokens

    def _check_blocks(self) -> None:
        """Nobody has a block that another writes, and none is lost."""
        pool = self.cache._pool
        used = {block for table in self.cache._tables.values() for block in table.blocks}
        assert pool.in_use == len(used)
        assert not used & pool._kept.keys()
        numbers = [block.number for block in (*used, *pool._kept)] + pool._free
        assert sorted(numbers) == list(range(len(numbers)))
        assert len(numbers) <= pool.blocks
        assert set(_below(pool.root)) - used == pool._kept.keys()
        for table in self.cache._tables.values():
            assert all(block.ready or block.users == 1 for block in table.blocks)


def _below(block: Block) -> Iterator[Block]:
    for child in block.children.values():
        yield child
        yield from _below(child)


@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_no_block_stays_behind_and_every_text_is_a_fresh_runs(seed, caplog):
    with caplog.at_level("CRITICAL"):
        schedule = Schedule(seed)
        schedule.run()
    schedule._check_blocks()
    assert schedule.cache.in_use == 0
    for sequence in schedule.sequences:
        assert sequence.phase is Phase.FINISHED
        expected = text_after(sequence.prompt, sequence.max_tokens)
        if {BAD, NAN} & set(sequence.prompt):
            assert sequence.finish in ("error", "cancelled") or not sequence.max_tokens
        elif sequence.finish == "cancelled":
            assert sequence.tokens == expected[: len(sequence.tokens)]
        else:
            assert (sequence.finish, sequence.tokens) == ("length", expected)
