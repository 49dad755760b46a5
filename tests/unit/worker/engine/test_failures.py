"""A step that raises: who is to blame ends with an error, and nobody else notices."""

import itertools
import queue
import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fastchat_worker.engine import breakage
from fastchat_worker.engine.executor import ModelInput, ModelOutput
from fastchat_worker.engine.loop import Engine
from fastchat_worker.engine.scheduler import Scheduler
from fastchat_worker.engine.sequence import Sequence as Completion
from fastchat_worker.kv.edits import Move
from fastchat_worker.kv.slots import SlotCache

SLOTS, BUDGET, VOCABULARY = 4, 8, 97
BAD = 96
"""A step with this token raises."""
Fails = Callable[[ModelInput], bool]


def _next(content: Sequence[int]) -> int:
    """The token after these; it depends on each of them and on their order."""
    value = 0
    for token in content:
        value = (value * 31 + token + 1) % 1_000_003
    return value % (BAD - 1)


class Remembering:
    """An executor whose next token depends on all that its cache has of a sequence. It writes before it raises."""

    vocabulary = VOCABULARY

    def __init__(self, fails: Fails) -> None:
        self._fails = fails
        self._slots: list[dict[int, int]] = [{} for _ in range(SLOTS)]
        self.failures = 0
        self.engine: Engine

    def execute(self, step: ModelInput) -> ModelOutput:
        for edit in step.edits:
            if isinstance(edit, Move):
                self._slots[edit.target], self._slots[edit.source] = self._slots[edit.source], {}
            else:
                self._slots[edit.slot].clear()
        rows = step.batch
        for token, position, slot in zip(rows.tokens, rows.positions, rows.slots, strict=True):
            self._slots[slot][position] = token
        if self._fails(step):
            self.failures += 1
            raise RuntimeError("out of memory")
        return ModelOutput(tuple(self._after(rows.slots[row], rows.positions[row]) for row in step.sampled))

    def embed(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        raise NotImplementedError

    def _after(self, slot: int, position: int) -> int:
        assert sorted(self._slots[slot]) == list(range(position + 1))
        return _next([self._slots[slot][at] for at in range(position + 1)])


def _alone(prompt: list[int], tokens: int) -> list[int]:
    made: list[int] = []
    for _ in range(tokens):
        made.append(_next([*prompt, *made]))
    return made


def _run(fails: Fails, prompts: list[list[int]], tokens: int = 6) -> tuple[list[Completion], Remembering]:
    executor = Remembering(fails)
    executor.engine = engine = Engine(executor, Scheduler(SlotCache(SLOTS), BUDGET, max_waiting=99))
    done = threading.Semaphore(0)

    def listener(_token: int | None, finish: str | None) -> None:
        if finish:
            done.release()

    completions = [Completion(prompt, tokens, listener=listener) for prompt in prompts]
    engine.submit(completions)
    engine.start()
    ended = all(done.acquire(timeout=30) for _ in prompts)
    engine.stop()  # after the step that has ended the last, which takes it out behind that
    assert ended
    assert (engine.running, engine.waiting) == (0, 0)
    return completions, executor


def _has_bad(step: ModelInput) -> bool:
    return BAD in step.batch.tokens


def _outcome(completion: Completion) -> tuple[str | None, list[int]]:
    return completion.finish, completion.tokens


PROMPTS = st.lists(st.lists(st.sampled_from([3, 5, 7, 11]), min_size=1, max_size=20), min_size=1, max_size=7)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def _quiet(caplog, monkeypatch) -> Iterator[None]:
    monkeypatch.setattr(breakage, "_PAUSE", 0.01)
    with caplog.at_level("CRITICAL"):
        yield


@QUICK
@given(PROMPTS, st.sets(st.integers(0, 6), max_size=3), st.integers(0, 19))
def test_of_any_sequences_only_those_end_with_an_error_with_which_a_step_raises(prompts, bad, where):
    bad &= set(range(len(prompts)))
    prompts = [[*each[:where], BAD, *each[where:]] if i in bad else each for i, each in enumerate(prompts)]
    completions, _ = _run(_has_bad, prompts)
    for index, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        assert _outcome(completion) == (("error", []) if index in bad else ("length", _alone(prompt, 6)))


@pytest.mark.parametrize("most", [1, 2, 3])
def test_sequences_that_only_fail_together_all_end_well(most):
    prompts = [[i] for i in range(8)]
    completions, executor = _run(lambda step: len(step.sampled) > most, prompts)
    assert [_outcome(each) for each in completions] == [("length", _alone(prompt, 6)) for prompt in prompts]
    assert executor.failures <= 3


def _breaks_after(steps: int) -> Fails:
    """As a GPU after an error: every later call raises."""
    counter = itertools.count()
    return lambda _: next(counter) >= steps


@pytest.mark.parametrize("steps", range(9))
def test_a_model_that_breaks_for_good_ends_everything_and_the_engine_says_so(steps):
    prompts = [[1, 2, 3], [4], [5] * 30, [6], [7], [8], [9]]
    completions, executor = _run(_breaks_after(steps), prompts)
    ran = [each for each in completions if each.finish != "broken"]
    assert {each.finish for each in ran} <= {"error", "length"}
    assert len(completions) - len(ran) >= len(prompts) - SLOTS - steps  # those that no step had a part of
    assert executor.failures <= 5
    assert executor.engine.broken == "the model cannot compute any more: out of memory"


def test_what_comes_to_a_broken_model_ends_at_once():
    engine = Engine(Remembering(_breaks_after(0)), Scheduler(SlotCache(SLOTS), BUDGET, max_waiting=99))
    finishes: queue.Queue[str | None] = queue.Queue()
    engine.start()
    for expected in ("error", "broken"):
        engine.submit([Completion([1], 3, listener=lambda _token, finish: finishes.put(finish))])
        assert finishes.get(timeout=30) == expected
    engine.stop()


@pytest.mark.parametrize("bad", [1, 3, 20])
def test_no_number_of_requests_that_fail_makes_a_model_seem_broken(bad):
    completions, executor = _run(_has_bad, [[BAD]] * bad + [[1]])
    assert [each.finish for each in completions] == ["error"] * bad + ["length"]
    assert not executor.engine.broken


def test_a_model_that_fails_for_a_moment_is_not_broken():
    moment = iter([True] * 3)  # a step, and two tries after it
    completions, executor = _run(lambda _: next(moment, False), [[1]])
    assert completions[0].finish == "error"
    assert not executor.engine.broken


def test_a_step_that_fails_once_costs_nobody_anything():
    prompts = [[1] * 9, [2], [3, 4]]
    failed = threading.Event()

    def fails(step: ModelInput) -> bool:
        if failed.is_set() or step.batch.decode < 2:
            return False
        failed.set()
        return True

    completions, _ = _run(fails, prompts)
    assert [_outcome(each) for each in completions] == [("length", _alone(prompt, 6)) for prompt in prompts]
