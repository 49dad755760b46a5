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
def test_no_group_of_int4_has_a_greater_error_than_ggufs_q4_1_has(rounded, seed, groups):
    values, kind = _row(seed, 32 * groups), gguf.GGMLQuantizationType.Q4_1
    theirs = gguf.quants.dequantize(gguf.quants.quantize(values, kind), kind)
    assert np.all(_errors(rounded(Weights.INT4, values), values) <= _errors(theirs, values) * 1.001 + 1e-12)


@given(seed=st.integers(0, 2**32), count=st.integers(1, 600))
@settings(deadline=None)
def test_no_group_in_blocks_has_a_greater_error_than_from_its_lowest_weight_to_its_highest(rounded, seed, count):
    values = _row(seed, count)
    found = rounded(Weights.INT4_BLOCKS, values)
    for block in range(0, count, 256):
        groups = [values[first : first + 32] for first in range(block, min(block + 256, count), 32)]
        # The least that the block's bytes can say, and 15 times 255 of the least steps that float16 has.
        coarse = max(float(np.abs(group).max()) for group in groups) / 40 + 15 * 255 * 2**-25
        for index, group in enumerate(groups):
            ours = found[block + 32 * index :][: len(group)]
            step = (group.max() - group.min()) / 15
            plain = group.min() + np.rint((group - group.min()) / (step or 1)) * step
            assert np.square(ours - group).sum() <= np.square(np.abs(plain - group) + coarse).sum() * 1.001


def _errors(found, values):
    return np.square(found - values).reshape(-1, 32).sum(1)


@pytest.mark.parametrize("weights", [Weights.INT4, Weights.INT4_BLOCKS])
def test_inputs_that_count_more_have_the_smaller_errors(rounded, weights):
    values = _row(3, 8192)
    importances = np.tile([100, 1, 1, 1], 2048).astype(np.float32)
    alike, counted = rounded(weights, values) - values, rounded(weights, values, importances) - values
    assert np.square(counted)[::4].sum() < 0.9 * np.square(alike)[::4].sum()
    assert (importances * counted**2).sum() < (importances * alike**2).sum()


@pytest.mark.parametrize("weights", Weights)
def test_a_weight_that_is_not_a_number_stays_so(rounded, weights):
    values = np.ones(512, np.float32)
    values[290] = np.nan
    found = rounded(weights, values)
    assert np.isnan(found[290])
    assert np.allclose(found[:256], 1, atol=0.005)
