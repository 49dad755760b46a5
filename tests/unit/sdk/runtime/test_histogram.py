"""Values counted up to each bound."""

from fastchat._runtime.histogram import Distribution


def test_a_value_counts_in_its_bucket_and_all_above():
    distribution = Distribution((1, 2, 4))
    for value in (0.5, 2, 3, 9):
        distribution.add(value)
    assert distribution.buckets == [("1.0", 1), ("2.0", 2), ("4.0", 3), ("+Inf", 4)]
    assert distribution.sum == 14.5


def test_one_value_can_count_for_many():
    distribution = Distribution((1, 2))
    distribution.add(1.5, times=16)
    assert distribution.buckets == [("1.0", 0), ("2.0", 16), ("+Inf", 16)]
    assert distribution.sum == 24
