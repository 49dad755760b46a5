"""Imports transformers' modelling code without what only training, compiling and several devices need.

transformers 5.23 imports, with the first class of a model, torch's compiler and its distributed tensors, sympy, triton
and scipy, and reads each of its own 2,900 files three times: half of the CPU time of a worker's imports.
"""

import importlib
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

_COMPILER = "torch._dynamo"
_WITHOUT = ("is_scipy_available", "is_torch_flex_attn_available")
_WITHOUT_RANKS = "is_torch_distributed_available"
"""What transformers' modules ask when they are imported: for losses, for another attention, for parts of a model."""
_MODULES = ("transformers.modeling_utils", "transformers.modeling_layers", "transformers.generation.utils")


def import_transformers(*, ranks: bool) -> None:
    """Imports what every model of transformers is made of, as where scipy is not installed.

    ranks: whether a model may be spread over several; else as where torch.distributed is not installed either.

    Torch's compiler can be imported afterwards as ever; what transformers marks for it is not marked.
    Raises: ModuleNotFoundError.
    """
    import transformers
    from transformers import utils
    from transformers.utils import import_utils

    read = import_utils.define_import_structure

    def known(path: str | Path, prefix: str | None = None) -> Any:
        names_models = (Path(path) if prefix else Path(path).parent).name == "models"
        return _models_of(transformers, prefix) if names_models else read(path, prefix)

    with ExitStack() as changed:
        for name in (*_WITHOUT, *([] if ranks else [_WITHOUT_RANKS])):
            for module in (utils, import_utils):
                changed.enter_context(patch.object(module, name, _no))
        changed.enter_context(patch.object(import_utils, "define_import_structure", known))
        changed.enter_context(no_compiler())
        for name in _MODULES:
            importlib.import_module(name)


def _no() -> bool:
    return False


def _models_of(transformers: Any, prefix: str | None) -> Mapping[frozenset[str], Mapping[str, set[str]]]:
    """What `transformers.models` has, which `transformers` knows by now: by missing packages, module and class."""
    found: dict[frozenset[str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name, module in transformers._class_to_module.items():
        if module.startswith("models."):
            missing = frozenset(transformers._object_missing_backend.get(module, ()))
            found[missing][module if prefix else module.removeprefix("models.")].add(name)
    found[frozenset()]  # transformers adds to it
    return found


@contextmanager
def no_compiler() -> Iterator[None]:
    """While it is open, a stand-in for torch's compiler leaves functions as they are, unless there is one already.

    transformers and torch import the compiler to say what it is to leave alone. Whoever wants more of it gets it.
    """
    import torch

    if _COMPILER in sys.modules:
        yield
        return
    stand_in: Any = ModuleType(_COMPILER)
    stand_in.__path__ = [str(Path(torch.__path__[0], "_dynamo"))]  # of which one file is needed for masks
    stand_in.disable = stand_in.allow_in_graph = stand_in.assume_constant_result = _unchanged
    stand_in.__getattr__ = partial(_of_the_compiler, stand_in)
    sys.modules[_COMPILER] = stand_in
    try:
        yield
    finally:
        _remove(stand_in)


def _of_the_compiler(stand_in: ModuleType, name: str) -> Any:
    if name.startswith("__"):  # the import system's, not a caller's
        raise AttributeError(name)
    _remove(stand_in)
    return getattr(importlib.import_module(_COMPILER), name)


def _remove(stand_in: ModuleType) -> None:
    if sys.modules.get(_COMPILER) is stand_in:
        del sys.modules[_COMPILER]
        vars(sys.modules["torch"]).pop("_dynamo", None)


def _unchanged(function: Callable[..., Any] | None = None, *_: Any, **__: Any) -> Any:
    """A decorator that leaves a function as it is, with arguments of its own or without."""
    return function or _unchanged
