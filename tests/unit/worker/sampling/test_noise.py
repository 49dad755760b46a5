"""Random numbers by seed and position."""

import statistics

from hypothesis import given
from hypothesis import strategies as st

from fastchat_worker.sampling.noise import splitmix64, uniform

INTEGERS = st.integers(-(2**63), 2**64)


def test_outputs_are_those_of_the_reference_implementation():
    # https://prng.di.unimi.it/splitmix64.c from state 1234567
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert [splitmix64(1234567, index) for index in range(4)] == expected


@given(INTEGERS, st.integers(0, 10**7))
def test_numbers_are_at_least_0_and_below_1(seed, position):
    assert 0 <= uniform(seed, position) < 1


def test_numbers_are_spread_evenly_along_positions_and_along_seeds():
    for numbers in ([uniform(3, i) for i in range(10_000)], [uniform(i, 3) for i in range(10_000)]):
        tenths = [sum(tenth <= 10 * number < tenth + 1 for number in numbers) for tenth in range(10)]
        assert all(850 < count < 1150 for count in tenths)


def test_neighbouring_seeds_and_positions_are_unrelated():
    numbers = [uniform(seed, 5) for seed in range(10_000)]
    for seeds, position in ((1, 5), (1, 4), (1, 6), (0, 6)):
        others = [uniform(seed + seeds, position) for seed in range(10_000)]
        assert abs(statistics.correlation(numbers, others)) < 0.05
