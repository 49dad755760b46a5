"""Whether the weights that transformers found are the model's: by itself it makes up what is missing."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from torch import nn
from transformers import modeling_utils

from fastchat_worker.errors import LoadError
from fastchat_worker.lean import import_shapes, no_compiler

_NAMED = 3
_OLD_BUFFERS = re.compile(r"(^|\.)(rotary_emb\.inv_freq|position_ids|(attn|attention)\.(masked_)?bias)$")
"""Were saved with the weights by earlier releases of transformers, and are computed from the configuration."""


@dataclass
class WeightsReport:
    """What was wrong with the weights, in words; empty where they are exactly the model's.

    heads: whether weights of layers that the model has not may be there, as in a checkpoint of another task on the
    same encoder, and the pooler be missing, which nothing reads.
    """

    heads: bool = False
    problems: list[str] = field(default_factory=list)

    def add(self, model: Any, info: Any) -> None:
        """info: transformers' LoadStateDictInfo."""
        missing = set(info.missing_keys)
        unexpected = {key for key in info.unexpected_keys if not _is_buffer(model, key)}
        if self.heads:
            missing = {key for key in missing if not key.startswith("pooler.")}
            unexpected = {key for key in unexpected if _is_inside(model, key)}
        self._note("missing", missing)
        self._note("unexpected", unexpected)
        shapes = {f"{name} ({_x(found)} instead of {_x(its)})" for name, found, its in info.mismatched_keys}
        self._note("of another shape", shapes)
        self._note("not convertible", set(info.conversion_errors))

    def refuse(self, name: str) -> None:
        """Raises: LoadError where something is wrong with the weights of the model of this name."""
        if self.problems:
            raise LoadError(
                f"the weights of {name} are not those of the model that its configuration describes: "
                f"{'; '.join(self.problems)}; take all files of one checkpoint as they were published"
            )

    def _note(self, how: str, keys: Iterable[str]) -> None:
        names = sorted(keys, key=_natural)
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            self.problems.append(f"{len(names)} {how}: {', '.join(names[:_NAMED])}{more}")


@contextmanager
def exact_weights(name: str, *, heads: bool = False) -> Iterator[None]:
    """While transformers loads a model, looks at what it found.

    name: the model, for the error. heads: as WeightsReport has it.
    Raises: LoadError at the end where weights are missing, unexpected or of another shape.
    """
    report, log_report = WeightsReport(heads), modeling_utils.log_state_dict_report

    def note(model: Any, *, loading_info: Any, **_: Any) -> None:
        report.add(model, loading_info)

    import_shapes()
    modeling_utils.log_state_dict_report = note  # transformers 5.23 gives shapes and conversion errors to nobody else
    try:
        with no_compiler(), patch.object(nn.Embedding, "reset_parameters", _leave):
            yield
    except LoadError:
        raise
    except Exception:
        report.refuse(name)  # what comes of wrong weights says less than they do
        raise
    finally:
        modeling_utils.log_state_dict_report = log_report
    report.refuse(name)


def _leave(_: nn.Embedding) -> None:
    """Its numbers come from the checkpoint; random ones for a table on no device would import sympy."""


def _is_buffer(model: Any, key: str) -> bool:
    """Whether a name is that of something which the model computes by itself."""
    return bool(_OLD_BUFFERS.search(key)) or key in dict(model.named_buffers())


def _is_inside(model: Any, key: str) -> bool:
    """Whether a name is that of a weight in one of the model's own modules, rather than in a head beside them."""
    first = key.removeprefix(f"{model.base_model_prefix}.").partition(".")[0]
    return first in dict(model.named_children())


def _x(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts layer 2 before layer 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
