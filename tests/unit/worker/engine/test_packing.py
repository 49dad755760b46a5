"""What the model gets to see of the sequences of a step."""

import pickle

from fastchat_worker.attention.batch import Span
from fastchat_worker.engine.packing import pack
from fastchat_worker.engine.scheduler import Batch, Scheduler
from fastchat_worker.engine.sequence import Sequence
from fastchat_worker.kv.edits import Clear
from fastchat_worker.kv.slots import SlotCache
from fastchat_worker.sampling.parameters import Sampling


def _mixed() -> Batch:
    """A step in which one sequence decodes, one completes its prompt and one does not."""
    scheduler = Scheduler(SlotCache(3), budget=6, max_waiting=9)
    decoding = Sequence([50, 51], 9, sampling=Sampling(seed=4, logit_bias={3: 1.5}))
    scheduler.add(decoding)
    scheduler.schedule()
    decoding.append(77)
    scheduler.add(Sequence([60, 61, 62], 9))
    scheduler.add(Sequence([70, 71, 72, 73], 9))
    batch = scheduler.schedule()
    assert batch is not None
    return batch


def test_rows_are_the_newest_tokens_and_then_the_chunks_of_prompts():
    rows = pack(_mixed()).batch
    assert rows.tokens == (77, 60, 61, 62, 70, 71)
    assert rows.positions == (2, 0, 1, 2, 0, 1)
    assert rows.slots == (0, 1, 1, 1, 2, 2)
    assert rows.decode == 1
    assert rows.spans == (Span(1, 4, 1, 0), Span(4, 6, 2, 0))


def test_a_token_is_chosen_after_the_newest_token_and_after_a_prompts_last():
    step = pack(_mixed())
    assert step.sampled == (0, 3)
    assert [choice.position for choice in step.choices] == [3, 3]
    assert (step.choices[0].seed, step.choices[0].mask) == (4, {3: 1.5})


def test_the_position_of_a_token_is_the_same_when_its_forerunners_are_given_as_prompt():
    begun, continued = Sequence([5, 6], 9), Sequence([5, 6, 7], 9)
    begun.append(7)
    assert begun.choice.position == continued.choice.position


def test_what_ended_is_cleared_before_the_next_step():
    scheduler = Scheduler(SlotCache(1), budget=6, max_waiting=9)
    for _ in range(2):
        scheduler.add(Sequence([50, 51], 1))
    first = scheduler.schedule()
    assert first is not None
    first.decode or first.sampled[0].append(7)
    scheduler.retire()
    second = scheduler.schedule()
    assert second is not None
    assert pack(second).edits == (Clear(0, 2),)


def test_a_step_can_be_sent_to_another_process():
    step = pack(_mixed())
    assert pickle.loads(pickle.dumps(step)) == step
