"""Weights in groups: those of a GGUF file are kept as the file has them."""

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastchat_worker.native.library import Weights

GGUF_TYPES = {Weights.INT8: gguf.GGMLQuantizationType.Q8_0, Weights.INT4: gguf.GGMLQuantizationType.Q4_1}


def _row(seed, count):
    chance = np.random.default_rng(seed)
    sizes = 10.0 ** chance.uniform(-3, 1, count // 32 + 1).repeat(32)[:count]
    return (chance.standard_normal(count) * sizes).astype(np.float32)


@pytest.mark.parametrize("weights", GGUF_TYPES)
@given(seed=st.integers(0, 2**32), groups=st.integers(1, 40))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_weights_of_a_gguf_file_stay_the_same_to_the_bit(rounded, weights, seed, groups):
    kind = GGUF_TYPES[weights]
    file = gguf.quants.dequantize(gguf.quants.quantize(_row(seed, 32 * groups), kind), kind)
    assert np.array_equal(rounded(weights, file), file)


@pytest.mark.parametrize(("weights", "most"), [(Weights.BFLOAT16, 2**-8), (Weights.INT8, 0.51 / 127)])
@given(seed=st.integers(0, 2**32), count=st.integers(1, 100))
@settings(deadline=None)
def test_no_weight_moves_by_more_than_half_a_step(rounded, weights, most, seed, count):
    values = _row(seed, count)
    for first in range(0, count, 32):
        group = values[first : first + 32]
        moved = np.abs(rounded(weights, values)[first : first + 32] - group).max()
        assert moved <= most * np.abs(group).max() + 4e-6  # 127 steps of the least that float16 can tell apart


@given(seed=st.integers(0, 2**32), groups=st.integers(1, 8))
@settings(deadline=None)
def test_int4_is_nearer_to_the_weights_than_ggufs_q4_1(rounded, seed, groups):
    values, kind = _row(seed, 32 * groups), gguf.GGMLQuantizationType.Q4_1
    theirs = gguf.quants.dequantize(gguf.quants.quantize(values, kind), kind)
    ours = rounded(Weights.INT4, values)
    assert np.square(ours - values).sum() <= np.square(theirs - values).sum() * 1.001


@pytest.mark.parametrize("weights", Weights)
def test_a_weight_that_is_not_a_number_stays_so(rounded, weights):
    values = np.ones(64, np.float32)
    values[40] = np.nan
    found = rounded(weights, values)
    assert np.isnan(found[40])
    assert np.allclose(found[:32], 1, atol=1e-3)
