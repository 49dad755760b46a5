"""Runs one step of the model: tokens in, logits out."""

from typing import Any

import torch
from torch import Tensor

from fastchat_worker.attention.slots import NAME, Span, Step
from fastchat_worker.engine.scheduler import Batch
from fastchat_worker.kv.edits import Move
from fastchat_worker.kv.tensors import Cache, LayerShape


class UnsupportedModelError(Exception):
    """The architecture cannot run on slots of keys and values."""


class Runner:
    """A transformers model on our attention and cache. `open_cache` comes before the first `step`."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.device: torch.device = model.device
        self._cache: Cache | None = None
        if not getattr(model, "_supports_attention_backend", False) or getattr(model, "_is_stateful", False):
            raise UnsupportedModelError(
                f"{type(model).__name__} does not use transformers' attention interface; serve it with engine VLLM"
            )
        model.set_attn_implementation(NAME)

    def layer_shapes(self) -> dict[int, LayerShape]:
        """What each attention layer stores per token, found by running one token."""
        step = self._step(None, [Span(0, 1, 0, 0)], [0], [0])
        self._forward(self.model, [0], step)
        if len(step.shapes) != self.model.config.get_text_config().num_hidden_layers:
            raise UnsupportedModelError(
                f"{type(self.model).__name__} has layers other than attention; serve it with engine VLLM"
            )
        return step.shapes

    def open_cache(self, cache: Cache) -> None:
        self._cache = cache

    def move(self, move: Move) -> None:
        if self._cache:
            self._cache.move(move)

    def step(self, batch: Batch) -> Tensor:
        """Logits [sampled, vocabulary] float32, one row for each of `batch.sampled`."""
        decode = len(batch.decode)
        tokens = [sequence.tokens[-1] for sequence in batch.decode]
        positions = [sequence.cached - 1 for sequence in batch.decode]
        slots, wanted, spans = list(range(decode)), list(range(decode)), []
        for chunk in batch.chunks:
            first = len(tokens)
            tokens += chunk.sequence.prompt[chunk.start : chunk.end]
            positions += range(chunk.start, chunk.end)
            slots += [chunk.slot] * chunk.length
            spans.append(Span(first, len(tokens), chunk.slot, chunk.start))
            if chunk.completes_prompt:
                wanted.append(len(tokens) - 1)
        step = self._step(self._cache, spans, slots, positions, decode)
        keep = self._tensor(wanted or [len(tokens) - 1])
        logits: Tensor = self._forward(self.model, tokens, step, logits_to_keep=keep).logits
        return logits[0, : len(wanted)].float()

    def mean_states(self, texts: list[list[int]]) -> Tensor:
        """[texts, hidden] float32: the mean of each text's last hidden states, of length one."""
        tokens = [token for text in texts for token in text]
        positions = [position for text in texts for position in range(len(text))]
        spans, first = [], 0
        for text in texts:
            spans.append(Span(first, first + len(text), 0, 0))
            first += len(text)
        step = self._step(None, spans, [], positions)
        states: Tensor = self._forward(self.model.base_model, tokens, step).last_hidden_state[0].float()
        means = torch.stack([states[span.first : span.last].mean(0) for span in spans])
        return torch.nn.functional.normalize(means, dim=-1)

    def _step(
        self, cache: Cache | None, spans: list[Span], slots: list[int], positions: list[int], decode: int = 0
    ) -> Step:
        lengths = [position + 1 for position in positions[:decode]]
        return Step(
            cache, spans, self._tensor(slots), self._tensor(positions), self._tensor(lengths), max(lengths, default=0)
        )

    @torch.inference_mode()
    def _forward(self, model: Any, tokens: list[int], step: Step, **kwargs: Any) -> Any:
        return model(
            input_ids=self._tensor([tokens]), position_ids=step.positions[None], use_cache=False, step=step, **kwargs
        )

    def _tensor(self, values: Any) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=self.device)
