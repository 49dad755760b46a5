"""Imports torch and transformers' modelling code without what only training, compiling and several devices need.

transformers 5.23 imports, with the first class of a model, torch's compiler and its distributed tensors, sympy, triton
and scipy, and reads each of its own 2,900 files three times, line by line: half of the CPU time of a worker's imports.
A quarter of torch 2.15's own import is how operators work on tensors without numbers, which `from_pretrained` uses.
"""

import importlib
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

_COMPILER = "torch._dynamo"
_SHAPES = "torch._meta_registrations"
_STRUCTURE = "transformers.utils.import_utils"
_WITHOUT = ("is_scipy_available", "is_torch_flex_attn_available")
_WITHOUT_RANKS = "is_torch_distributed_available"
"""What transformers' modules ask when they are imported: for losses, for another attention, for parts of a model."""
_MODULES = ("transformers.modeling_utils", "transformers.modeling_layers", "transformers.generation.utils")


def import_torch() -> None:
    """Imports torch without what `import_shapes` imports. Raises: ModuleNotFoundError."""
    if "torch" in sys.modules:
        return
    sys.modules[_SHAPES] = ModuleType(_SHAPES)
    try:
        importlib.import_module("torch")
    finally:
        del sys.modules[_SHAPES]


def import_shapes() -> None:
    """Imports how torch's operators work on tensors without numbers, where that has been left out."""
    importlib.import_module(_SHAPES)


def import_transformers(*, ranks: bool) -> None:
    """Imports what every model of transformers is made of, as where scipy is not installed.

    ranks: whether a model may be spread over several; else as where torch.distributed is not installed either.

    Torch's compiler can be imported afterwards as ever; what transformers marks for it is not marked.
    Raises: ModuleNotFoundError.
    """
    import_torch()
    if ranks:  # torch.distributed imports them in an order in which they need each other
        import_shapes()
    with _adapted(_STRUCTURE, _find_names_fast):
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


@contextmanager
def _adapted(name: str, adapt: Callable[[Any], None]) -> Iterator[None]:
    """While it is open, `adapt` changes the module of this name as soon as it has been imported."""
    adapter = _Adapter(name, adapt)
    sys.meta_path.insert(0, adapter)
    try:
        yield
    finally:
        sys.meta_path.remove(adapter)


class _Adapter(MetaPathFinder):
    def __init__(self, name: str, adapt: Callable[[Any], None]) -> None:
        self._name, self._adapt = name, adapt

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname == self._name else None
        if spec and spec.loader:
            loader: Any = spec.loader
            run = loader.exec_module

            def run_adapted(module: ModuleType) -> None:
                run(module)
                self._adapt(module)

            loader.exec_module = run_adapted
        return spec


def _find_names_fast(structure: Any) -> None:
    """Has transformers look for a file's `__all__` from where it stands on, rather than in every line."""
    find = structure.fetch__all__

    def find_from_there(text: str) -> Any:
        return find(text[text.rfind("\n__all__") + 1 :])

    structure.fetch__all__ = find_from_there


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

    transformers and torch import the compiler to say what it is to leave alone. Whoever wants more of it gets it, but
    for torchao, which transformers imports where it is installed: there the compiler itself is imported.
    """
    import torch

    if find_spec("torchao"):
        import_shapes()
    if _COMPILER in sys.modules or find_spec("torchao"):
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
    import_shapes()
    return getattr(importlib.import_module(_COMPILER), name)


def _remove(stand_in: ModuleType) -> None:
    if sys.modules.get(_COMPILER) is stand_in:
        del sys.modules[_COMPILER]
        vars(sys.modules["torch"]).pop("_dynamo", None)


def _unchanged(function: Callable[..., Any] | None = None, *_: Any, **__: Any) -> Any:
    """A decorator that leaves a function as it is, with arguments of its own or without."""
    return function or _unchanged
