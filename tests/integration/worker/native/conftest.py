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

KERNELS = ("plain", "AVX2", "AVX-512-VNNI", "AMX")


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
def functions() -> Any:
    """The compiled library."""
    try:
        return library.library()
    except library.LibraryError as error:
        pytest.skip(f"native executor: {error}")


@pytest.fixture(scope="session")
def rounded(functions: Any) -> Callable[..., NDArray[np.float32]]:
    """What a row of weights becomes."""

    def row(
        weights: library.Weights, values: NDArray[np.float32], importances: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        counts = None if importances is None else importances.ctypes.data
        linear = library.Linear(1, len(values), rows=values.ctypes.data, importances=counts)
        return _kept(functions, weights, linear)

    return row


@pytest.fixture(scope="session")
def packed_row(functions: Any) -> Callable[..., NDArray[np.float32]]:
    """The numbers of one row of a GGUF file's blocks."""

    def row(weights: library.Weights, form: int, blocks: NDArray[np.uint8], inputs: int) -> NDArray[np.float32]:
        return _kept(functions, weights, library.Linear(1, inputs, form, blocks=blocks.ctypes.data))

    return row


def _kept(functions: Any, weights: library.Weights, linear: library.Linear) -> NDArray[np.float32]:
    out = np.empty(linear.inputs, np.float32)
    library.check(functions.fc_round(weights, linear, out.ctypes.data))
    return out
