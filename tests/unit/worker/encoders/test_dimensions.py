"""To how many numbers a vector may be cut."""

from types import SimpleNamespace

import numpy as np
import pytest

from fastchat_worker.encoders.dimensions import Dimensions, served_by
from fastchat_worker.errors import RequestError

VECTOR = np.array([0.6, 0, 0.8, 0], np.float32)


def of(served, default: int = 4, *, unit: bool = True) -> Dimensions:
    return Dimensions(4, default, served, unit)


@pytest.mark.parametrize(("served", "taken"), [(None, {1, 2, 3, 4}), ((), {4}), ({2}, {2, 4})])
def test_only_what_the_model_was_trained_for_is_taken_and_the_rest_refused_by_name(served, taken):
    for wanted in (1, 2, 3, 4, 5):
        if wanted in taken:
            of(served).check(wanted)
        else:
            with pytest.raises(RequestError) as refused:
                of(served).check(wanted)
            assert refused.value.error.param == "dimensions"
            assert "4 dimensions" in refused.value.error.message
    of(served).check(None)


def test_a_cut_vector_has_length_one_where_the_whole_one_has():
    assert of(None).cut(VECTOR, 1).tolist() == [1]
    assert of(None, unit=False).cut(VECTOR, 1).tolist() == pytest.approx([0.6])
    assert of(None).cut(VECTOR[1:2], 1).tolist() == [0]  # of no length at all
    assert of(None, default=3).cut(VECTOR, None).tolist() == pytest.approx([0.6, 0, 0.8])


@pytest.mark.parametrize(
    ("config", "truncated", "option", "served"),
    [
        ({}, False, "", ()),
        ({}, True, "", None),
        ({"is_matryoshka": True}, False, "", None),
        ({"matryoshka_dimensions": [2, 3]}, True, "", {2, 3}),
        ({"matryoshka_dimensions": [2, 3]}, False, "any", None),
        ({}, False, "1,2", {1, 2}),
    ],
)
def test_the_option_has_the_last_word_then_the_configuration(config, truncated, option, served):
    assert served_by(SimpleNamespace(**config), truncated=truncated, option=option) == served
