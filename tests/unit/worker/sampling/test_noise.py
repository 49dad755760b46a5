"""Random numbers by seed, position and place."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fastchat_worker.sampling.noise import Noise, splitmix64

INTEGERS = st.integers(-(2**63), 2**64)
PLACES = np.arange(10_000)


def number(seed, position, place):
    return Noise.of([(seed, position)]).exponentials(np.array([place]))[0, 0]


def test_outputs_are_those_of_the_reference_implementation():
    # https://prng.di.unimi.it/splitmix64.c from state 1234567
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert [splitmix64(1234567, index) for index in range(4)] == expected


@given(INTEGERS, st.integers(0, 10**7), st.integers(0, 2**34))
def test_numbers_are_above_0_and_finite(seed, position, place):
    assert 0 < number(seed, position, place) < np.inf


def test_numbers_are_exponential_along_seeds_positions_and_places():
    along = (
        Noise.of([(3, 5)]).exponentials(PLACES)[0],
        Noise.of([(3, position) for position in PLACES.tolist()]).exponentials(np.array([5]))[:, 0],
        Noise.of([(seed, 3) for seed in PLACES.tolist()]).exponentials(np.array([5]))[:, 0],
    )
    for numbers in along:
        counts, _ = np.histogram(np.exp(-numbers), bins=10, range=(0, 1))
        assert all(850 < count < 1150 for count in counts)


def test_neighbours_are_unrelated():
    numbers = Noise.of([(3, 5)]).exponentials(PLACES)[0]
    for seed, position, place in ((4, 5, 0), (3, 4, 0), (3, 6, 0), (4, 6, 0), (3, 5, 1)):
        others = Noise.of([(seed, position)]).exponentials(PLACES + place)[0]
        assert abs(np.corrcoef(numbers, others)[0, 1]) < 0.05


def test_a_rows_numbers_are_its_own_whatever_the_others():
    noise = Noise.of([(1, 2), (3, 4), (5, 6)])
    assert (noise.exponentials(PLACES)[1] == Noise.of([(3, 4)]).exponentials(PLACES)[0]).all()
    assert (noise.rows([1]).exponentials(PLACES)[0] == noise.exponentials(PLACES)[1]).all()
