"""Compressed bodies: what was packed comes out, and what was not is refused, wherever it was cut."""

import contextlib
import gzip
import random
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from fastchat._runtime.coding import SERVED, TooLargeError, coding_of, expand
from fastchat._runtime.refusal import RefusalError

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
}
BODIES = (
    st.binary(max_size=2000)
    | st.integers(0, 300_000).map(bytes)
    | st.integers(0, 2**32).map(lambda seed: random.Random(seed).randbytes(70_000))
)


@pytest.mark.parametrize("coding", PACK)
@settings(max_examples=60, deadline=None)
@given(body=BODIES)
def test_a_packed_body_comes_out_as_it_was_and_not_when_it_is_one_byte_too_long(coding, body):
    packed = PACK[coding](body)
    assert expand(packed, coding, len(body)) == body
    if body:
        with pytest.raises(TooLargeError):
            expand(packed, coding, len(body) - 1)


@pytest.mark.parametrize("coding", PACK)
@settings(max_examples=60, deadline=None)
@given(body=BODIES, cut=st.floats(0, 1, exclude_max=True))
def test_a_body_that_was_cut_off_is_refused_wherever_it_was(coding, body, cut):
    packed = PACK[coding](body)
    with pytest.raises(RefusalError) as refused:
        expand(packed[: int(len(packed) * cut)], coding, len(body) + 1)
    assert (refused.value.status, refused.value.error.code) == (400, "invalid_encoding")


@pytest.mark.parametrize("coding", PACK)
@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=200))
def test_bytes_at_random_are_refused_or_a_body(coding, body):
    with contextlib.suppress(RefusalError):
        assert isinstance(expand(body, coding, 10**6), bytes)


def test_a_zstd_frame_that_wants_more_memory_than_8_mib_is_refused():
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = packed.compress(bytes(2**20)) + packed.flush()
    with pytest.raises(RefusalError, match=r"memory|window"):
        expand(body, "zstd", 2**21)


@pytest.mark.parametrize(
    ("header", "coding"), [("gzip", "gzip"), (" GZip ", "gzip"), ("x-gzip", "gzip"), ("identity", ""), ("", "")]
)
def test_the_name_of_a_coding_is_read_as_http_has_it(header, coding):
    assert coding_of(header) == coding


@pytest.mark.parametrize("header", ["br", "gzip, deflate", "gzip;q=1", "x" * 9999])
def test_another_coding_is_refused_with_those_that_are_served(header):
    with pytest.raises(RefusalError) as refused:
        coding_of(header)
    assert refused.value.status == 415
    assert ", ".join(SERVED) in str(refused.value)
    assert len(str(refused.value)) < 200
