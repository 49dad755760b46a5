"""Numbers of packed weights."""

from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from fastchat_worker.native.library import LibraryError, library


def unpacked(data: NDArray[Any], kind: gguf.GGMLQuantizationType) -> NDArray[np.float32] | None:
    """[rows, numbers]: those of a GGUF file's rows, bit by bit as gguf unpacks them.

    None where the library is not here or does not know the kind.
    """
    if not data.flags.c_contiguous:
        return None
    packed = data.dtype == np.uint8
    out = np.empty(gguf.quant_shape_from_byte_shape(data.shape, kind) if packed else data.shape, np.float32)
    try:
        code = library().fc_unpack(int(kind), data.ctypes.data, out.size, out.ctypes.data)
    except LibraryError:
        return None
    return None if code else out
