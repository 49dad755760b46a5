import pytest

from fastchat._client.settings import parse_api_key, parse_base_url


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://gateway:8000", "http://gateway:8000"),
        ("http://gateway:8000/", "http://gateway:8000"),
        ("http://gateway:8000/v1", "http://gateway:8000"),
        ("http://gateway:8000/v1/", "http://gateway:8000"),
        ("https://example.com/models/v1//", "https://example.com/models"),
        ("https://example.com/av1", "https://example.com/av1"),
        ("HTTPS://Example.com", "https://example.com"),
        ("http://[::1]:8000/v1", "http://[::1]:8000"),
        ("http://gateway:8000\n", "http://gateway:8000"),
        ("http://user:secret@gateway", "http://user:secret@gateway"),
    ],
)
def test_a_base_url_works_with_and_without_slash_and_v1(url: str, base: str) -> None:
    assert parse_base_url(url) == base


@pytest.mark.parametrize(
    "url",
    [
        "gateway",
        "localhost:8000",
        "/v1",
        "ftp://gateway",
        "http://",
        "http://gateway:port",
        "http://gateway:70000",
        "http://gateway?x=1",
        "http://gateway#x",
        "http://[::1",
    ],
)
def test_a_bad_base_url_is_named(url: str) -> None:
    with pytest.raises(ValueError, match="Invalid base URL") as caught:
        parse_base_url(url)
    assert repr(url) in str(caught.value)


def test_the_newline_of_a_secrets_file_is_not_part_of_the_key() -> None:
    assert parse_api_key("sk-1\n") == "sk-1"


@pytest.mark.parametrize("key", ["sk\n1", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ValueError, match="Invalid API key") as caught:
        parse_api_key(key)
    assert key not in str(caught.value)
