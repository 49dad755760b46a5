"""What is not for callers but for the cluster itself and who runs it, and who may see it."""

import hmac
from typing import Final

from fastchat import demand
from fastchat.keys.record import digest
from fastchat_gateway.access.keyring import NO_KEY, Key, Keyring
from fastchat_gateway.errors import not_internal

OVERVIEW: Final = "/internal/overview"
_SHOWN: Final = frozenset({OVERVIEW, "/metrics"})
"""Also for the API keys of operators: it shows something, and does nothing."""
INTERNAL: Final = _SHOWN | {demand.PATH}
"""For who knows the token that the gateway shares with operator and workers, and for nobody where there is none."""


class InternalAccess:
    """Who may see it: by the internal token, or by the key of an operator."""

    def __init__(self, token: bytes | None, keyring: Keyring) -> None:
        self._token = None if token is None else digest(token)
        self._keyring = keyring

    def admit(self, path: str, bearer: bytes | None, now: float) -> Key:
        """Whose request it is, by the SHA-256 of what it has brought, at Unix time `now`; raises RefusedError."""
        if bearer is None:
            raise not_internal(path)
        if self._token is not None and hmac.compare_digest(bearer, self._token):
            return NO_KEY
        key = self._keyring.known(bearer, now)
        if key is None or not key.operator or path not in _SHOWN:
            raise not_internal(path)
        return key
