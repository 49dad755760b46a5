"""What an API key may use: which models, how many requests and tokens a minute, how many sequences at once."""

import math
from collections.abc import Mapping

from fastchat_gateway.access.keyring import Key
from fastchat_gateway.errors import RefusedError, model_not_allowed, rate_limited, too_many_sequences

_BUSY_RETRY_SECONDS = 1
_MOST_AT_ONCE = 2**53
"""Tokens: a float holds no larger number exactly, and none of 400 digits at all."""


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

    __slots__ = ("_at", "_form", "_kind", "_per_second", "_soon_full", "left", "limit", "per_minute")

    def __init__(self, kind: bytes, per_minute: int, share: int, now: float) -> None:
        self._kind = kind
        self._at = now
        self.per_minute = per_minute
        self.left = math.inf
        self.resize(share)

    def resize(self, share: int) -> None:
        """Be one of `share` buckets that have the limit between them."""
        self.limit = max(1.0, self.per_minute / share)
        self.left = min(self.left, self.limit)
        self._per_second = self.limit / 60
        form = b"x-ratelimit-limit-KIND: %d\r\nx-ratelimit-remaining-KIND: %%d\r\nx-ratelimit-reset-KIND: "
        self._form = form.replace(b"KIND", self._kind) % self.limit
        self._soon_full = self._form + b"%dms\r\n"

    def refill(self, now: float) -> None:
        """Bring it to the time `now`."""
        left = self.left + (now - self._at) * self._per_second
        self.left = left if left < self.limit else self.limit
        self._at = now

    def seconds_until(self, level: float) -> float:
        return max(0.0, level - self.left) / self._per_second

    def lines(self) -> bytes:
        """OpenAI's header lines: the limit, what is left, when it is full again."""
        milliseconds = int((self.limit - self.left) / self._per_second * 1000 + 0.5)
        left = int(self.left) if self.left > 0 else 0
        if milliseconds < 1000:
            return self._soon_full % (left, milliseconds)
        return self._form % left + _duration(milliseconds)


class Account:
    """What a key has left, and how many of its sequences are in progress."""

    __slots__ = ("_limits", "in_flight", "requests", "tokens")

    def __init__(self) -> None:
        self.in_flight = 0
        self.requests: Bucket | None = None
        self.tokens: Bucket | None = None
        self._limits: tuple[int | None, int | None, int] | None = None

    def refill(self, key: Key, share: int, now: float) -> None:
        """Bring it to the time `now`. A limit that changes starts afresh."""
        limits = key.requests_per_minute, key.tokens_per_minute, share
        if limits != self._limits:
            self._limits = limits
            self.requests = _resized(self.requests, b"requests", key.requests_per_minute, share, now)
            self.tokens = _resized(self.tokens, b"tokens", key.tokens_per_minute, share, now)
        if self.requests is not None:
            self.requests.refill(now)
        if self.tokens is not None:
            self.tokens.refill(now)

    def charge(self, tokens: int, now: float) -> None:
        """Tokens that a request has used; they are known afterwards, so that what is left may fall below zero."""
        if self.tokens is not None:
            self.tokens.refill(now)
            self.tokens.left -= min(tokens, _MOST_AT_ONCE)

    def release(self, sequences: int = 1) -> None:
        """A request has ended."""
        self.in_flight -= sequences

    def lines(self) -> bytes:
        """`x-ratelimit-*` for a response."""
        requests = b"" if self.requests is None else self.requests.lines()
        return requests if self.tokens is None else requests + self.tokens.lines()


class Meter:
    """The accounts of all keys, by name: they outlive a reload of the keys and a new key under the same name.

    Times are seconds of any clock that never goes back.
    """

    def __init__(self) -> None:
        self._share = 1
        self._accounts: dict[str, Account] = {}

    def share_among(self, gateways: int) -> None:
        """So many gateways share every limit; each lets its part through, at least 1."""
        self._share = gateways

    def admit(self, key: Key, model: str, now: float, *, name: str = "", sequences: int = 1) -> Account | None:
        """Count a request that begins, to be followed by one `release`; None for a key without limits.

        `name`: the one in the request; `model`: the model's own, or `name` where there is no such model.
        Raises RefusedError (400 for more sequences than the key may ever have, 403, 429), and then has counted nothing.
        """
        if key.models is not None and not may_use(key, model, name):
            raise model_not_allowed(key.name, name or model)
        if not key.is_limited:
            return None
        account = self._accounts.get(key.name)
        if account is None:
            account = self._accounts[key.name] = Account()
        account.refill(key, self._share, now)
        self._refuse_too_much(key, account, sequences)
        if account.requests is not None:
            account.requests.left -= 1
        account.in_flight += sequences
        return account

    def _refuse_too_much(self, key: Key, account: Account, sequences: int) -> None:
        most, requests, tokens = key.max_concurrent, account.requests, account.tokens
        if most is not None:
            if sequences > most:
                raise too_many_sequences(key.name, sequences, most)
            # One that is larger than this gateway's part has its turn when nothing else of its key is in progress.
            if account.in_flight and account.in_flight + sequences > max(1, most // self._share):
                message = f"The API key '{key.name}' may have {most} sequences in progress at a time; try again later."
                raise rate_limited(message, _BUSY_RETRY_SECONDS, account.lines())
        if requests is not None and requests.left < 1:
            raise _used_up(key, f"{key.requests_per_minute} requests", requests, account)
        if tokens is not None and tokens.left < 1:
            raise _used_up(key, f"{key.tokens_per_minute} tokens", tokens, account)


def _resized(bucket: Bucket | None, kind: bytes, per_minute: int | None, share: int, now: float) -> Bucket | None:
    if per_minute is None:
        return None
    if bucket is None or bucket.per_minute != per_minute:
        return Bucket(kind, per_minute, share, now)
    bucket.refill(now)
    bucket.resize(share)
    return bucket


def _used_up(key: Key, what: str, bucket: Bucket, account: Account) -> RefusedError:
    seconds = max(1, math.ceil(bucket.seconds_until(1)))
    message = f"The API key '{key.name}' may use {what} a minute, and has; try again in {seconds} s."
    return rate_limited(message, seconds, account.lines())


def _duration(milliseconds: int) -> bytes:
    """As OpenAI writes what is not below a second: `1.5s`, `6m0s`."""
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{f'{minutes}m' if minutes else ''}{rest / 1000:g}s\r\n".encode()
