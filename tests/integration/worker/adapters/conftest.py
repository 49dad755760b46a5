"""Executors of a small model, each with the adapters that a test is about."""

from collections.abc import Callable
from typing import Any

import pytest

from fastchat_worker.engine.native_runner import NativeRunner
from fastchat_worker.engine.runner import Runner
from fastchat_worker.native import library
from fastchat_worker.native.model import NativeModel

EXECUTORS = ("torch", "plain", "AVX2", "AVX-512-VNNI")


def torch_runner(model: Any) -> Runner:
    return Runner(model)


@pytest.fixture(params=EXECUTORS)
def executor(request) -> Callable[..., Any]:
    """Makes an executor of a model, whose weights it takes: torch's, or the native one with some kernels."""
    if request.param == "torch":
        return torch_runner
    try:
        if not library.kernels(request.param):
            pytest.skip(f"this CPU has no {request.param}")
    except library.LibraryError as error:
        pytest.skip(f"native executor: {error}")

    def make(model: Any, **options: Any) -> NativeRunner:
        made = NativeModel(model, kernels=request.param, **options)
        made.take_weights()
        return NativeRunner(made)

    return make
