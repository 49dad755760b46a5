"""From sequences to the plain values of one step."""

from collections.abc import Iterable
from dataclasses import replace

from fastchat_worker.attention.batch import PackedBatch, Span
from fastchat_worker.engine.executor import ModelInput, Scored
from fastchat_worker.engine.scheduler import Batch, Chunk
from fastchat_worker.engine.sequence import Sequence
from fastchat_worker.sampling.grammar_state import allowed_tokens
from fastchat_worker.sampling.parameters import Choice


def pack(batch: Batch) -> ModelInput:
    """The rows of a step: the newest token of each sequence that decodes, their drafts, then the chunks of prompts.

    Of `sampled`, those of drafts come last.
    """
    decode = len(batch.decode)
    tokens = [sequence.tokens[-1] for sequence in batch.decode]
    positions = [sequence.cached - 1 for sequence in batch.decode]
    slots, sampled, spans = list(range(decode)), list(range(decode)), []
    scored: list[Scored] = []
    for slot, (sequence, draft) in enumerate(zip(batch.decode, batch.drafts, strict=False)):
        spans.append(Span(len(tokens), len(tokens) + len(draft), slot, sequence.cached))
        tokens += draft
        positions += range(sequence.cached, sequence.cached + len(draft))
        slots += [slot] * len(draft)
    drafted = range(decode, len(tokens))
    for chunk in batch.chunks:
        first = len(tokens)
        tokens += chunk.sequence.read(chunk.start, chunk.end)
        positions += range(chunk.start, chunk.end)
        slots += [chunk.slot] * chunk.length
        spans.append(Span(first, len(tokens), chunk.slot, chunk.start))
        scored += _scored(chunk, first)
        if chunk.samples:
            sampled.append(len(tokens) - 1)
    sampled += drafted
    spans = [span for span in spans if span.last > span.first]
    rows = PackedBatch(tuple(tokens), tuple(positions), tuple(slots), decode, tuple(spans))
    choices = (*_choices(batch.sampled), *_draft_choices(batch))
    return ModelInput(rows, batch.edits, tuple(sampled), choices, tuple(scored), _adapters(batch))


def _adapters(batch: Batch) -> tuple[str | None, ...]:
    """That of each row; empty where no sequence has one."""
    if not any(sequence.loaded for sequence in batch.sequences):
        return ()
    adapters = [sequence.adapter for sequence in batch.decode]
    for sequence, draft in zip(batch.decode, batch.drafts, strict=False):
        adapters += [sequence.adapter] * len(draft)
    for chunk in batch.chunks:
        adapters += [chunk.sequence.adapter] * chunk.length
    return tuple(adapters)


def _choices(sequences: list[Sequence]) -> Iterable[Choice]:
    """How the next token of each is chosen; what their grammars allow is computed for all at once."""
    allowed = allowed_tokens([sequence.grammar for sequence in sequences])
    for sequence, words in zip(sequences, allowed, strict=True):
        choice = sequence.choice
        if sequence.grammar and words is not None:
            # An end that nothing else can take the place of comes, whatever forbids it.
            mask = {} if sequence.grammar.must_end(words) else choice.mask
            choice = replace(choice, allowed=words, mask=mask)
        yield choice


def _draft_choices(batch: Batch) -> Iterable[Choice]:
    """How a token is chosen after each token of the drafts: as it would be if the draft were the text."""
    for sequence, draft in zip(batch.decode, batch.drafts, strict=False):
        choice = sequence.choice
        for number in range(1, len(draft) + 1):
            yield replace(choice, position=choice.position + number)


def _scored(chunk: Chunk, first: int) -> list[Scored]:
    """The rows of a chunk, whose first is `first`, after which a token that is known is scored."""
    sequence, known = chunk.sequence, chunk.scored
    tokens = sequence.read(known.start + 1, known.stop + 1) if known else ()
    return [
        Scored(first + at - chunk.start, token, sequence.likeliest_at(at + 1))
        for at, token in zip(known, tokens, strict=True)
    ]
