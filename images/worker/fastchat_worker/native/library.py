"""The compiled library, by ctypes: abi.h says what its functions do."""

import ctypes
import functools
from ctypes import POINTER, Structure, c_char_p, c_float, c_int32, c_int64, c_void_p
from enum import IntEnum
from pathlib import Path

PATH = Path(__file__).with_name("libfastchat_cpu.so")
"""Where the wheel has it, and where `make native` puts it."""


class LibraryError(Exception):
    """The library is not there or cannot be loaded here."""


class Weights(IntEnum):
    """`fc_weights`: what the weights are kept in."""

    FLOAT32, BFLOAT16, INT8, INT4, INT4_BLOCKS = range(5)

    @property
    def quantized(self) -> bool:
        """Whether groups of them have a scale; activations are in int8 then."""
        return self >= Weights.INT8


class LinearName(IntEnum):
    """`fc_linear_name`."""

    QUERY, KEY, VALUE, OUT, GATE, UP, DOWN, HEAD = range(8)


FUSED = {
    LinearName.QUERY: 0,
    LinearName.KEY: 0,
    LinearName.VALUE: 0,
    LinearName.OUT: 1,
    LinearName.GATE: 2,
    LinearName.UP: 2,
    LinearName.DOWN: 3,
}
"""Those of the same number are computed together."""


class NormName(IntEnum):
    """`fc_norm_name`."""

    ATTENTION, ATTENTION_END, MLP, MLP_END, QUERY, KEY, FINAL = range(7)


class Shape(Structure):
    """`fc_shape`."""

    _fields_ = (
        *((name, c_int32) for name in ("layers", "hidden", "heads", "kv_heads", "head_size", "mlp", "vocabulary")),
        *((name, c_int32) for name in ("ropes", "weights", "gelu")),
        *((name, c_float) for name in ("epsilon", "embedding_factor", "residual_factor", "logits_factor")),
        ("logits_cap", c_float),
    )


class LayerShape(Structure):
    """`fc_layer`."""

    _fields_ = (("window", c_int32), ("rope", c_int32), ("scaling", c_float), ("softcap", c_float))


class Step(Structure):
    """`fc_step`."""

    _fields_ = (
        *((name, c_int32) for name in ("rows", "samples", "sequences", "table_width", "blocks")),
        *((name, c_void_p) for name in ("tokens", "positions", "slots", "tables", "sampled", "cache")),
        ("layer_stride", c_int64),
        ("logits", c_void_p),
        ("hidden", c_void_p),
        ("adapters", c_void_p),
    )


class Linear(Structure):
    """`fc_linear`."""

    _fields_ = (
        *((name, c_int32) for name in ("outputs", "inputs", "format")),
        *((name, c_void_p) for name in ("rows", "blocks", "bias", "importances")),
    )


class LowRank(Structure):
    """`fc_low_rank`."""

    _fields_ = (
        *((name, c_int32) for name in ("which", "rank", "outputs", "inputs")),
        *((name, c_void_p) for name in ("a", "b")),
    )


_FUNCTIONS = {
    "fc_kernels": (c_char_p, [c_char_p]),
    "fc_model_new": (c_void_p, [POINTER(Shape), c_char_p, c_int32]),
    "fc_model_free": (None, [c_void_p]),
    "fc_set_layer": (c_int32, [c_void_p, c_int32, POINTER(LayerShape)]),
    "fc_set_rope": (c_int32, [c_void_p, c_int32, c_void_p, c_int32, c_float]),
    "fc_set_type": (c_int32, [c_void_p, c_int32, c_int32, c_int32]),
    "fc_set_linear": (c_int32, [c_void_p, c_int32, c_int32, POINTER(Linear)]),
    "fc_set_norm": (c_int32, [c_void_p, c_int32, c_int32, c_void_p, c_int32]),
    "fc_set_embedding": (None, [c_void_p, c_void_p]),
    "fc_join": (None, [c_void_p]),
    "fc_round": (c_int32, [c_int32, POINTER(Linear), c_void_p]),
    "fc_unpack": (c_int32, [c_int32, c_void_p, c_int64, c_void_p]),
    "fc_weight_bytes": (c_int64, [c_void_p]),
    "fc_block_size": (c_int64, [c_void_p]),
    "fc_block_tokens": (c_int32, []),
    "fc_padded": (c_int32, [c_int32]),
    "fc_adapter_new": (c_void_p, [c_void_p]),
    "fc_adapter_free": (None, [c_void_p]),
    "fc_adapter_set": (c_int32, [c_void_p, c_int32, POINTER(LowRank), c_int32]),
    "fc_run": (c_int32, [c_void_p, POINTER(Step)]),
}


@functools.cache
def library() -> ctypes.CDLL:
    """The library. Raises: LibraryError."""
    try:
        loaded = ctypes.CDLL(str(PATH))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise LibraryError("it is not built here" if not PATH.exists() else f"it cannot be loaded: {error}") from None
    return loaded


def kernels(name: str = "") -> str | None:
    """The kernels that would run, the best that this CPU has or those of a name; None where they cannot run here.

    Raises: LibraryError.
    """
    found: bytes | None = library().fc_kernels(name.encode())
    return found.decode() if found else None


def check(code: int) -> None:
    """Raises: MemoryError and ValueError for what a function has returned."""
    if code == -1:
        raise MemoryError("the native executor gets no memory")
    if code:
        raise ValueError("weights or a step do not fit the shape of the model")
