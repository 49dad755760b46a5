"""Requests to the Kubernetes API by a thread that waits."""

from typing import Any, Self

import httpx

from fastchat._kube import response
from fastchat._kube.access import Access
from fastchat._kube.errors import UnreachableError
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
        value = self._access.credentials.authorization()
        headers = request.headers | ({"Authorization": value} if value else {})
        name = self._access.server_name
        try:
            found = self._http.request(
                request.method,
                f"{self._access.server}{request.target}",
                content=request.content,
                headers=headers,
                extensions={"sni_hostname": name} if name else {},
            )
        except (httpx.HTTPError, OSError) as error:
            raise UnreachableError.of(error) from error
        if found.status_code < 300:
            return response.decode(found.content)
        if found.status_code == 401:
            self._access.credentials.forget()
        lower = {name.lower(): value for name, value in found.headers.items()}
        raise response.refusal(found.status_code, found.reason_phrase, lower, found.content)
