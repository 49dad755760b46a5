"""How many numbers a vector has, and to how many it may be cut."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastchat_worker.errors import RequestError, bad_request


@dataclass(frozen=True, slots=True)
class Dimensions:
    """Of one model's vectors.

    full: numbers that the model computes. default: of them, how many a vector has if nobody asks for another number.
    served: to how many it may be cut; None: to any number. unit: vectors have length one, cut ones too.
    """

    full: int
    default: int
    served: Collection[int] | None
    unit: bool

    def check(self, wanted: int | None) -> None:
        """Raises: RequestError 400 where the model does not serve vectors of so many numbers."""
        if wanted is None or wanted == self.default:
            return
        if wanted > self.full:
            raise _refused(f"This model's vectors have {self.full} dimensions, not {wanted}.")
        if self.served is not None and wanted not in self.served:
            raise _refused(self._which(wanted))

    def _which(self, wanted: int) -> str:
        if self.served:
            served = ", ".join(map(str, sorted(self.served)))
            return f"This model's vectors have {self.full} dimensions and can be cut to {served}, not to {wanted}."
        return (
            f"This model's vectors have {self.default} dimensions, not {wanted}, and nothing says that they can be cut "
            "(Matryoshka): if they can, start the worker with --matryoshka-dimensions."
        )

    def cut(self, vector: NDArray[np.float32], wanted: int | None) -> NDArray[np.float32]:
        """The first numbers of a vector: the default ones, as sentence-transformers cuts them, or those `wanted`."""
        if wanted is None or wanted == self.default:
            return vector[: self.default]
        short = vector[:wanted]
        length = float(np.linalg.norm(short))
        return short / np.float32(length) if self.unit and length else short


def served_by(config: Any, *, truncated: bool, option: str) -> Collection[int] | None:
    """To how many numbers vectors may be cut, in the terms of `Dimensions.served`.

    config: transformers' one, which may say it (`matryoshka_dimensions`, `is_matryoshka`, as vLLM reads them).
    truncated: sentence-transformers' configuration cuts them by itself (`truncate_dim`). option: the value of
    --matryoshka-dimensions, which has the last word.
    """
    if option == "any":
        return None
    if option:
        return frozenset(map(int, option.split(",")))
    if listed := getattr(config, "matryoshka_dimensions", None):
        return frozenset(listed)
    return None if truncated or getattr(config, "is_matryoshka", False) else ()


def _refused(message: str) -> RequestError:
    return bad_request(message, "dimensions", "unsupported_parameter")
