"""Which columns a row may look at."""

import torch
from torch import Tensor

from fastchat_worker.attention.batch import Span


class Masks:
    """The masks of one step, each made once and kept for the layers that follow."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._decode: dict[int | None, Tensor] = {}
        self._spans: dict[tuple[Span, int | None], Tensor] = {}

    def decode(self, lengths: Tensor, width: int, window: int | None) -> Tensor:
        """[rows, 1, 1, width]: True where a row may look. lengths: [rows], tokens that each row sees."""
        mask = self._decode.get(window)
        if mask is None:
            column = torch.arange(width, device=self._device)[None]
            mask = column < lengths[:, None]
            if window is not None:
                mask &= column >= lengths[:, None] - window
            mask = self._decode[window] = mask[:, None, None]
        return mask

    def span(self, span: Span, window: int | None) -> Tensor | None:
        """[length, end], True where a row may look; None for the plain causal mask."""
        if span.start == 0 and (window is None or span.end <= window):
            return None
        mask = self._spans.get((span, window))
        if mask is None:
            column = torch.arange(span.end, device=self._device)[None]
            row = column[0, span.start :, None]
            mask = column <= row
            if window is not None:
                mask &= column > row - window
            self._spans[span, window] = mask
        return mask
