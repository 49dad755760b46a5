"""Values counted up to each bound."""

from fastchat._runtime.histogram import Histogram


def test_a_value_counts_in_its_bucket_and_all_above():
    histogram = Histogram((1, 2, 4))
    for value in (0.5, 2, 3, 9):
        histogram.add(value)
    assert histogram.buckets == [("1.0", 1), ("2.0", 2), ("4.0", 3), ("+Inf", 4)]
    assert histogram.sum == 14.5


def test_one_value_can_count_for_many():
    histogram = Histogram((1, 2))
    histogram.add(1.5, times=16)
    assert histogram.buckets == [("1.0", 0), ("2.0", 16), ("+Inf", 16)]
    assert histogram.sum == 24
