"""From the logits of a step to what the engine hears of it; the same for every executor."""

from collections.abc import Sequence

from torch import Tensor

from fastchat_worker.engine.executor import ModelInput, ModelOutput, Scored
from fastchat_worker.sampling.logprobs import keep_raw, score, scores_of
from fastchat_worker.sampling.sampler import sample
from fastchat_worker.sampling.score import Score


def wanted_rows(step: ModelInput) -> Sequence[int]:
    """Rows of the batch whose logits `output` gets, in this order."""
    return [*step.sampled, *(each.row for each in step.scored)]


def output(logits: Tensor, step: ModelInput) -> ModelOutput:
    """logits: [wanted rows, vocabulary], of any type; those in float32 are changed in place."""
    sampled = len(step.sampled)
    choosable = logits[:sampled].float()
    raw = keep_raw(choosable, step.choices)
    tokens = sample(choosable, step.choices)
    return ModelOutput(tuple(tokens), scores_of(raw, step.choices, tokens), _scores(logits[sampled:], step.scored))


def _scores(logits: Tensor, scored: Sequence[Scored]) -> tuple[Score, ...]:
    return tuple(score(logits, [each.token for each in scored], [each.top for each in scored])) if scored else ()
