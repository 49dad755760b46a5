"""From sequences to the plain values of one step."""

from fastchat_worker.attention.batch import PackedBatch, Span
from fastchat_worker.engine.executor import ModelInput
from fastchat_worker.engine.scheduler import Batch


def pack(batch: Batch) -> ModelInput:
    """The rows of a step: the newest token of each sequence that decodes, then the chunks of prompts."""
    decode = len(batch.decode)
    tokens = [sequence.tokens[-1] for sequence in batch.decode]
    positions = [sequence.cached - 1 for sequence in batch.decode]
    slots, sampled, spans = list(range(decode)), list(range(decode)), []
    for chunk in batch.chunks:
        first = len(tokens)
        tokens += chunk.sequence.prompt[chunk.start : chunk.end]
        positions += range(chunk.start, chunk.end)
        slots += [chunk.slot] * chunk.length
        spans.append(Span(first, len(tokens), chunk.slot, chunk.start))
        if chunk.completes_prompt:
            sampled.append(len(tokens) - 1)
    rows = PackedBatch(tuple(tokens), tuple(positions), tuple(slots), decode, tuple(spans))
    choices = tuple(sequence.choice for sequence in batch.sampled)
    return ModelInput(rows, batch.edits, tuple(sampled), choices)
