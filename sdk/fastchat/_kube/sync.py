"""Requests to the Kubernetes API by a thread that waits."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import httpx

from fastchat._kube import response
from fastchat._kube.access import Access
from fastchat._kube.errors import ApiError, UnreachableError
from fastchat._kube.request import Request

_TIMEOUT = httpx.Timeout(30.0, connect=10.0)


class Client:
    """One set of credentials at one API server; a context. A proxy of the environment is used, as kubectl does."""

    def __init__(self, access: Access, user_agent: str) -> None:
        self._access = access
        self._user_agent = user_agent

    def __enter__(self) -> Self:
        """Raises CredentialsError."""
        self._http = httpx.Client(
            verify=self._access.tls() if self._access.server.startswith("https:") else False,
            headers=[("User-Agent", self._user_agent), *self._access.headers],
            proxy=self._access.proxy,
            timeout=_TIMEOUT,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def send(self, request: Request) -> dict[str, Any]:
        """What the API server says; raises ApiError, CredentialsError."""
        with self._opened(request, _TIMEOUT) as found:
            return response.decode(found.read())

    @contextmanager
    def stream(self, request: Request, silence: float | None) -> Iterator[Iterator[bytes]]:
        """The pieces of a response as they arrive.

        It ends in ApiError after `silence` seconds without one; None: never.

        Raises ApiError, CredentialsError.
        """
        with self._opened(request, httpx.Timeout(silence, connect=10.0)) as found:
            yield found.iter_bytes()

    @contextmanager
    def _opened(self, request: Request, timeout: httpx.Timeout) -> Iterator[httpx.Response]:
        """A response of status 2xx, its body not read yet; raises ApiError, also for what breaks while it is read."""
        value = self._access.credentials.authorization()
        try:
            with self._http.stream(**arguments(self._access, request, value), timeout=timeout) as found:
                if found.status_code >= 300:
                    found.read()
                    raise refusal(self._access, found)
                yield found
        except (httpx.HTTPError, OSError) as error:
            raise UnreachableError.of(error) from error


def arguments(access: Access, request: Request, authorization: str | None) -> dict[str, Any]:
    """A request in httpx's words."""
    name = access.server_name
    return {
        "method": request.method,
        "url": f"{access.server}{request.target}",
        "content": request.content,
        "headers": request.headers | ({"Authorization": authorization} if authorization else {}),
        "extensions": {"sni_hostname": name} if name else {},
    }


def refusal(access: Access, found: httpx.Response) -> ApiError:
    """The error for a response that was read and is not 2xx."""
    if found.status_code == 401:
        access.credentials.forget()
    lower = {name.lower(): value for name, value in found.headers.items()}
    return response.refusal(found.status_code, found.reason_phrase, lower, found.content)
