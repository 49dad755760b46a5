"""The native executor; what needs it is left out where it is not built, which `make native` does."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cluster.skips import NotHere
from numpy.typing import NDArray

from fastchat_worker.engine.native_runner import NativeRunner
from fastchat_worker.native import library
from fastchat_worker.native.model import NativeModel

KERNELS = ("plain", "AVX2", "AVX-512-VNNI")


@pytest.fixture
def native() -> Callable[..., NativeRunner]:
    """Makes an executor of a model, whose weights it takes."""
    try:
        library.library()
    except library.LibraryError as error:
        pytest.skip(f"native executor: {error}")

    def make(model: Any, kernels: str = "", **options: Any) -> NativeRunner:
        if not library.kernels(kernels):
            raise NotHere(f"this CPU has no {kernels}")
        made = NativeModel(model, kernels=kernels, **options)
        made.take_weights()
        return NativeRunner(made)

    return make


@pytest.fixture(scope="session")
def rounded() -> Callable[[library.Weights, NDArray[np.float32]], NDArray[np.float32]]:
    """What a row of weights becomes."""
    try:
        functions = library.library()
    except library.LibraryError as error:
        pytest.skip(f"native executor: {error}")

    def row(weights: library.Weights, values: NDArray[np.float32]) -> NDArray[np.float32]:
        out = np.empty_like(values)
        library.check(functions.fc_round(weights, values.ctypes.data, len(values), out.ctypes.data))
        return out

    return row
