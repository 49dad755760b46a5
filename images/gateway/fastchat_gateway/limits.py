"""What an API key may use: which models, how many requests and tokens a minute, how many requests at once."""

import math
from collections.abc import Mapping

from fastchat_gateway.errors import Refused, model_not_allowed, rate_limited
from fastchat_gateway.keyring import Key

Headers = list[tuple[bytes, bytes]]

_BUSY_RETRY_SECONDS = 1


def may_use(key: Key, model: str, name: str) -> bool:
    """May it use a model under one of its names? One that it may use by its own name it may under every alias."""
    return key.models is None or model in key.models or name in key.models


def visible(key: Key, names: Mapping[str, str]) -> list[str]:
    """Of all names and aliases, each with its model's own name, those that a key may use."""
    return [name for name, model in names.items() if may_use(key, model, name)]


class Bucket:
    """What is left of a limit per minute: full at first, refilled all the time, below zero after an overdraft.

    A count per full minute would let twice as much through around its edge, and send everyone back at the same moment.
    """

    __slots__ = ("_at", "_per_minute", "left", "limit")

    def __init__(self, per_minute: int, share: int, now: float) -> None:
        self._per_minute = per_minute
        self._at = now
        self.left = math.inf
        self.refill(share, now)

    def refill(self, share: int, now: float) -> None:
        """Bring it to the time `now`, as one of `share` buckets with the same limit."""
        self.limit = max(1.0, self._per_minute / share)
        self.left = min(self.limit, self.left + (now - self._at) * self.limit / 60)
        self._at = now

    def seconds_until(self, level: float) -> float:
        return max(0.0, level - self.left) * 60 / self.limit


class Account:
    """What a key has left, and how many of its requests are in progress."""

    __slots__ = ("_at", "in_flight", "limits", "requests", "tokens")

    def __init__(self, key: Key, share: int, now: float, in_flight: int) -> None:
        self.limits = key.requests_per_minute, key.tokens_per_minute
        self.requests, self.tokens = (None if limit is None else Bucket(limit, share, now) for limit in self.limits)
        self.in_flight = in_flight
        self._at = now

    def refill(self, share: int, now: float) -> None:
        if now == self._at:
            return
        self._at = now
        for bucket in (self.requests, self.tokens):
            if bucket is not None:
                bucket.refill(share, now)


class Meter:
    """The accounts of all keys, by name: they outlive a reload of the keys and a new key under the same name.

    A limit that changes starts afresh. Times are seconds of any clock that never goes back.
    """

    def __init__(self, share: int = 1) -> None:
        self._share = share
        self._accounts: dict[str, Account] = {}

    def set_share(self, share: int) -> None:
        """How many gateways share every limit; each lets its part through, at least 1."""
        self._share = share

    def admit(self, key: Key, model: str, now: float, *, name: str = "") -> None:
        """Count a request that begins, to be followed by one `release`; raises Refused (403, 429), then without.

        `model`: its own name, or what was asked for where there is no such model; `name`: what was asked for.
        """
        if not may_use(key, model, name):
            raise model_not_allowed(key.name, name or model)
        if not _limited(key):
            return
        account = self._account(key, now)
        self._refuse_too_much(key, account)
        if account.requests is not None:
            account.requests.left -= 1
        account.in_flight += 1

    def release(self, key: Key) -> None:
        """A request that was admitted has ended."""
        if _limited(key):
            self._accounts[key.name].in_flight -= 1

    def charge(self, key: Key, tokens: int, now: float) -> None:
        """Tokens that a request has used; they are known afterwards, so that what is left may fall below zero."""
        account = self._accounts.get(key.name)
        if account is not None and account.tokens is not None:
            account.refill(self._share, now)
            account.tokens.left -= tokens

    def headers(self, key: Key, now: float) -> Headers:
        """OpenAI's `x-ratelimit-*` for an answer: the limits of this gateway, what is left, when it is full again."""
        account = self._accounts.get(key.name) if _limited(key) else None
        if account is None:
            return []
        account.refill(self._share, now)
        return _headers(account)

    def _account(self, key: Key, now: float) -> Account:
        account = self._accounts.get(key.name)
        if account is None or account.limits != (key.requests_per_minute, key.tokens_per_minute):
            in_flight = 0 if account is None else account.in_flight
            account = self._accounts[key.name] = Account(key, self._share, now, in_flight)
        else:
            account.refill(self._share, now)
        return account

    def _refuse_too_much(self, key: Key, account: Account) -> None:
        most = key.max_concurrent
        if most is not None and account.in_flight >= max(1, most // self._share):
            message = f"The API key '{key.name}' may make {most} requests at the same time, and has; try again later."
            raise rate_limited(message, _BUSY_RETRY_SECONDS, *_headers(account))
        if account.requests is not None and account.requests.left < 1:
            raise _used_up(key, f"{key.requests_per_minute} requests", account.requests, account)
        if account.tokens is not None and account.tokens.left < 1:
            raise _used_up(key, f"{key.tokens_per_minute} tokens", account.tokens, account)


def _limited(key: Key) -> bool:
    return not (key.requests_per_minute is None and key.tokens_per_minute is None and key.max_concurrent is None)


def _used_up(key: Key, what: str, bucket: Bucket, account: Account) -> Refused:
    seconds = max(1, math.ceil(bucket.seconds_until(1)))
    message = f"The API key '{key.name}' may use {what} a minute, and has; try again in {seconds} s."
    return rate_limited(message, seconds, *_headers(account))


def _headers(account: Account) -> Headers:
    headers: Headers = []
    for kind, bucket in ((b"requests", account.requests), (b"tokens", account.tokens)):
        if bucket is not None:
            headers += [
                (b"x-ratelimit-limit-" + kind, b"%d" % bucket.limit),
                (b"x-ratelimit-remaining-" + kind, b"%d" % max(0, bucket.left)),
                (b"x-ratelimit-reset-" + kind, _duration(bucket.seconds_until(bucket.limit))),
            ]
    return headers


def _duration(seconds: float) -> bytes:
    """As OpenAI writes it: `17ms`, `1.5s`, `6m0s`."""
    milliseconds = round(seconds * 1000)
    if milliseconds < 1000:
        return b"%dms" % milliseconds
    minutes, rest = divmod(milliseconds, 60_000)
    return (f"{minutes}m" if minutes else "").encode() + f"{rest / 1000:g}s".encode()
