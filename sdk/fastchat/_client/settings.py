"""Where a client's calls go, as whom, and how long they are waited for."""

import math
import os
from dataclasses import dataclass

import httpx


@dataclass(frozen=True)
class Settings:
    """Where calls go and how long they are waited for."""

    base_url: str
    """As `parse_base_url` gives it."""
    api_key: str | None = None
    timeout: float = 660.0
    """Seconds the server may be silent; math.inf: for ever. A gateway may hold a request for 600 before it gives up."""
    max_retries: int = 2


def resolve(base_url: str | None, api_key: str | None, timeout: float, max_retries: int) -> Settings:
    """Settings from what a user gave, and where that is None from the environment, read now.

    An empty base URL is none; an empty API key stands for no key, whatever the environment says.

    Raises:
        ValueError: one of them is wrong; see the functions below.
    """
    timeouts(timeout)
    key = os.environ.get("FASTCHAT_API_KEY") if api_key is None else api_key
    return Settings(
        base_url=parse_base_url(base_url or os.environ.get("FASTCHAT_BASEURL") or "http://localhost:8000"),
        api_key=parse_api_key(key) if key else None,
        timeout=timeout,
        max_retries=parse_max_retries(max_retries),
    )


def parse_base_url(url: str) -> str:
    """The address of a server without `/v1` and without a slash at the end.

    Raises:
        ValueError: it is not an absolute http or https address.
    """
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL as invalid:
        raise _bad_base_url(url) from invalid
    if parsed.scheme not in ("http", "https") or not parsed.host or (parsed.port or 0) > 65535:
        raise _bad_base_url(url)
    if parsed.query or parsed.fragment:
        raise _bad_base_url(url)
    return str(parsed).rstrip("/").removesuffix("/v1").rstrip("/")


def _bad_base_url(url: str) -> ValueError:
    return ValueError(
        f"Invalid base URL {url!r}: it is http://host:port or https://host "
        "(base_url=..., client.set_baseurl, FASTCHAT_BASEURL)."
    )


def parse_api_key(key: str) -> str:
    """The key without white space around it: the file of a Kubernetes secret often ends with a newline.

    Raises:
        ValueError: an HTTP header cannot carry it. The key itself is not in the message.
    """
    key = key.strip()
    if not (key.isascii() and key.isprintable()):
        raise ValueError("Invalid API key: an HTTP header takes only printable ASCII characters.")
    return key


def parse_max_retries(count: int) -> int:
    """The number as it is.

    Raises:
        ValueError: below 0.
    """
    if count < 0:
        raise ValueError(f"Invalid number of retries {count!r}: it is 0 or more.")
    return count


def timeouts(seconds: float) -> dict[str, float | None]:
    """httpx's four timeouts, in seconds. The pool has none: waiting for one's own calls is not the server's silence.

    Raises:
        ValueError: not above 0.
    """
    if not seconds > 0:
        raise ValueError(f"Invalid timeout {seconds!r}: it is seconds above 0; math.inf waits for ever.")
    silence = None if math.isinf(seconds) else seconds
    return {"connect": min(seconds, 10.0), "read": silence, "write": silence, "pool": None}
