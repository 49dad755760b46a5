"""What becomes of sequences whatever the model does; the model here counts."""

import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from support.eventually import eventually

from fastchat_worker.engine.executor import ModelInput, ModelOutput
from fastchat_worker.engine.loop import Engine
from fastchat_worker.engine.scheduler import Scheduler
from fastchat_worker.engine.sequence import Phase
from fastchat_worker.engine.sequence import Sequence as Completion
from fastchat_worker.kv.slots import SlotCache

VOCABULARY = 100
NO_NUMBER, FAILURE = 98, 99
"""After the first token there are no finite logits; at the second the model raises."""


class Counting:
    """An executor whose model says the number after the last one."""

    vocabulary = VOCABULARY

    def execute(self, step: ModelInput) -> ModelOutput:
        if FAILURE in step.batch.tokens:
            raise RuntimeError("out of memory")
        last = [step.batch.tokens[row] for row in step.sampled]
        return ModelOutput(tuple(None if token == NO_NUMBER else (token + 1) % 90 for token in last))

    def embed(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        if not texts:
            raise ValueError("no texts")
        return np.array([[sum(text)] for text in texts], np.float32)


@pytest.fixture
def start() -> Iterator[Callable[..., Engine]]:
    engines: list[Engine] = []

    def start(slots: int = 4) -> Engine:
        engines.append(Engine(Counting(), Scheduler(SlotCache(slots), budget=16, max_waiting=99)))
        engines[-1].start()
        return engines[-1]

    yield start
    for engine in engines:
        engine.stop()


class Heard:
    """A completion and what its listener heard."""

    def __init__(self, prompt: list[int], max_tokens: int = 3) -> None:
        self.ended = threading.Event()
        self.completion = Completion(prompt, max_tokens, listener=self._hear)

    def _hear(self, token: int | None, finish: str | None) -> None:
        if finish:
            self.ended.set()

    def outcome(self) -> tuple[str | None, list[int]]:
        assert self.ended.wait(30)
        assert self.completion.phase is Phase.FINISHED
        return self.completion.finish, self.completion.tokens


def _outcomes(engine: Engine, *prompts: list[int]) -> list[tuple[str | None, list[int]]]:
    heard = [Heard(prompt) for prompt in prompts]
    engine.submit([each.completion for each in heard])
    return [each.outcome() for each in heard]


def test_a_row_without_finite_logits_ends_alone(start):
    good, bad, other = _outcomes(start(), [1, 2], [3, NO_NUMBER], [5])
    assert good == ("length", [3, 4, 5])
    assert bad == ("error", [])
    assert other == ("length", [6, 7, 8])


@pytest.mark.parametrize("prompt", [[4, VOCABULARY], [-1], []], ids=["too great", "negative", "none"])
def test_a_prompt_with_a_token_that_the_model_does_not_have_ends_alone(start, prompt):
    engine = start()
    assert _outcomes(engine, [1, 2], prompt) == [("length", [3, 4, 5]), ("error", [])]
    eventually(lambda: (engine.running, engine.waiting) == (0, 0))  # behind what ends them


def test_a_step_that_raises_ends_the_one_that_made_it_fail_and_the_engine_goes_on(start):
    engine = start()
    assert _outcomes(engine, [1], [FAILURE]) == [("length", [2, 3, 4]), ("error", [])]
    assert _outcomes(engine, [1]) == [("length", [2, 3, 4])]


def test_what_is_cancelled_ends_whether_it_runs_or_waits(start):
    engine = start(slots=1)
    running, waiting, next_one = Heard([1], 10**9), Heard([2], 10**9), Heard([3])
    for each in (running, waiting, next_one):
        engine.submit([each.completion])
    engine.cancel([running.completion, waiting.completion])
    assert [running.outcome()[0], waiting.outcome()] == ["cancelled", ("cancelled", [])]
    assert next_one.outcome() == ("length", [4, 5, 6])


def test_cancelling_what_has_finished_changes_nothing(start):
    engine = start()
    done = Heard([1])
    engine.submit([done.completion])
    outcome = done.outcome()
    engine.cancel([done.completion])
    assert _outcomes(engine, [5]) == [("length", [6, 7, 8])]
    assert done.outcome() == outcome == ("length", [2, 3, 4])


def test_after_abort_everything_ends_and_whatever_comes(start):
    engine = start(slots=1)
    running, waiting, late = Heard([1], 10**9), Heard([2]), Heard([3])
    engine.submit([running.completion, waiting.completion])
    engine.abort()
    engine.submit([late.completion])
    assert {each.outcome()[0] for each in (running, waiting, late)} == {"aborted"}


def test_texts_are_embedded_while_sequences_run(start):
    engine = start()
    running = Heard([1], 10**9)
    engine.submit([running.completion])
    assert engine.embed([[1, 2], [4]]).result(30).tolist() == [[3], [4]]
    assert not running.ended.is_set()
    engine.cancel([running.completion])


def test_what_embedding_raises_belongs_to_whoever_called(start):
    engine = start()
    with pytest.raises(ValueError, match="no texts"):
        engine.embed([]).result(30)
    assert engine.embed([[1]]).result(30).tolist() == [[1]]
