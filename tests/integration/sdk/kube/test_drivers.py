"""Both drivers against a server with a certificate of its own authority, as an API server has."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cluster.control_plane.pki import Authority

from fastchat._kube import aio, request
from fastchat._kube.access import Access
from fastchat._kube.aio import AsyncClient
from fastchat._kube.credentials import Certificate, Static, TokenFile
from fastchat._kube.errors import ApiError, CredentialsError, UnreachableError
from fastchat._kube.kind import Kind
from fastchat._kube.kubeconfig import load
from fastchat._kube.request import Request
from fastchat._kube.sync import Client

WIDGET = Kind("example.com/v1", "Widget", "widgets")
LISTING = request.listing(WIDGET, "team")

Send = Callable[[Access, Request], Awaitable[dict[str, Any]]]


class Server:
    """Keeps who asks, and says what it is told to."""

    def __init__(self) -> None:
        self.seen: list[web.Request] = []
        self.users: list[str] = []
        self.says: Callable[[web.Request], Awaitable[web.StreamResponse]] = self._echo

    async def handle(self, asked: web.Request) -> web.StreamResponse:
        self.seen.append(asked)
        assert asked.transport is not None
        certificate = asked.transport.get_extra_info("peercert")
        self.users += [value for part in (certificate or {}).get("subject", ()) for name, value in part]
        return await self.says(asked)

    async def _echo(self, asked: web.Request) -> web.StreamResponse:
        return web.json_response({"method": asked.method, "said": await asked.text()})


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "pki")


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def access(authority: Authority, server: Server, tmp_path: Path) -> AsyncIterator[Access]:
    """Of `jane`, by a certificate, at a path below the host."""
    pair = authority.server("server", ["api.example.com"], ["127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.certificate))
    context.load_cert_chain(pair.certificate, pair.key)
    context.verify_mode = ssl.CERT_OPTIONAL
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(authority.kubeconfig(f"https://127.0.0.1:{runner.addresses[0][1]}/below", "jane", ["people"]))
    yield load([kubeconfig])
    await runner.cleanup()


async def by_asyncio(access: Access, wanted: Request) -> dict[str, Any]:
    async with AsyncClient(access, "test") as client:
        return await client.send(wanted)


async def by_a_thread(access: Access, wanted: Request) -> dict[str, Any]:
    def send() -> dict[str, Any]:
        with Client(access, "test") as client:
            return client.send(wanted)

    return await asyncio.to_thread(send)


@pytest.fixture(params=[by_asyncio, by_a_thread])
def send(request: pytest.FixtureRequest) -> Send:  # pytest's name for it
    driver: Send = request.param
    return driver


async def test_one_is_who_the_certificate_says(send: Send, access: Access, server: Server) -> None:
    await send(access, LISTING)
    assert server.users == ["jane", "people"]
    assert server.seen[0].path == "/below/apis/example.com/v1/namespaces/team/widgets"


async def test_what_is_sent_arrives_with_its_type(send: Send, access: Access, server: Server) -> None:
    widget = {"metadata": {"name": "a", "namespace": "team"}, "text": "ü"}
    said = await send(access, request.apply(WIDGET, widget, "me"))
    assert (said["method"], json.loads(said["said"])) == ("PATCH", widget)
    seen = server.seen[0]
    assert (seen.content_type, dict(seen.query)) == (
        "application/apply-patch+yaml",
        {"fieldManager": "me", "force": "true"},
    )
    assert seen.headers["User-Agent"] == "test"


async def test_whom_one_acts_as_is_sent_with_all_groups(send: Send, access: Access, server: Server) -> None:
    groups = (("Impersonate-Group", "a"), ("Impersonate-Group", "b"))
    await send(replace(access, headers=groups), LISTING)
    assert server.seen[0].headers.getall("Impersonate-Group") == ["a", "b"]


async def test_a_server_of_another_authority_is_not_spoken_to(
    send: Send, access: Access, server: Server, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "pki").certificate.read_bytes()
    with pytest.raises(UnreachableError, match="certificate verify failed"):
        await send(replace(access, authority=other), LISTING)
    await send(replace(access, authority=other, verify=False), LISTING)
    assert len(server.seen) == 1


async def test_a_server_may_have_the_name_that_the_kubeconfig_says_instead_of_its_hosts(
    send: Send, access: Access, server: Server
) -> None:
    await send(replace(access, server_name="api.example.com"), LISTING)
    with pytest.raises(UnreachableError, match="certificate verify failed"):
        await send(replace(access, server_name="other.example.com"), LISTING)
    assert len(server.seen) == 1


async def test_certificates_that_are_none_are_named(send: Send, access: Access) -> None:
    for broken in (
        replace(access, authority=b"nonsense"),
        replace(access, credentials=Static(shown=Certificate(b"nonsense", b"nonsense"))),
    ):
        with pytest.raises(CredentialsError, match=r"the certificates for https://127\.0\.0\.1"):
            await send(broken, LISTING)


async def test_a_refusal_says_status_reason_message_and_when_to_try_again(
    send: Send, access: Access, server: Server
) -> None:
    async def busy(_: web.Request) -> web.StreamResponse:
        status = {"kind": "Status", "message": "too many requests", "reason": "TooManyRequests"}
        return web.json_response(status, status=429, headers={"Retry-After": "7"})

    server.says = busy
    with pytest.raises(ApiError) as refused:
        await send(access, LISTING)
    error = refused.value
    assert (error.status, error.reason, str(error), error.retry_after) == (
        429,
        "TooManyRequests",
        "too many requests",
        7,
    )


async def test_a_token_that_is_not_accepted_is_read_again_for_the_next_request(
    send: Send, access: Access, server: Server, tmp_path: Path
) -> None:
    async def only_new(asked: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=200 if asked.headers["Authorization"] == "Bearer new" else 401)

    server.says = only_new
    file = tmp_path / "token"
    file.write_text("old\n")
    bearer = replace(access, credentials=TokenFile(file))
    with pytest.raises(ApiError):
        await send(bearer, LISTING)
    file.write_text("new\n")
    assert await send(bearer, LISTING) == {}


async def test_a_redirect_is_not_followed_with_credentials(send: Send, access: Access, server: Server) -> None:
    async def elsewhere(asked: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(str(asked.url.with_path("/elsewhere")))

    server.says = elsewhere
    with pytest.raises(ApiError) as refused:
        await send(access, LISTING)
    assert (refused.value.status, len(server.seen)) == (302, 1)


async def test_a_connection_that_breaks_off_is_no_response(send: Send, access: Access, server: Server) -> None:
    async def break_off(asked: web.Request) -> web.StreamResponse:
        begun = web.StreamResponse(headers={"Content-Length": "100"})
        await begun.prepare(asked)
        await begun.write(b"{")
        assert asked.transport is not None
        asked.transport.abort()
        return begun

    server.says = break_off
    with pytest.raises(UnreachableError, match="the Kubernetes API was not reached"):
        await send(access, LISTING)


async def test_a_response_that_does_not_begin_is_given_up(
    access: Access, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(aio, "HEAD_SECONDS", 0.1)
    server.says = hang
    with pytest.raises(UnreachableError, match="TimeoutError"):
        await by_asyncio(access, LISTING)


async def test_a_stream_comes_as_it_is_sent_and_ends_with_the_silence(access: Access, server: Server) -> None:
    passed_on = asyncio.Event()

    async def two_parts(asked: web.Request) -> web.StreamResponse:
        begun = web.StreamResponse()
        await begun.prepare(asked)
        await begun.write(b"one")
        await passed_on.wait()
        await begun.write(b"two")
        await asyncio.Event().wait()
        return begun

    server.says = two_parts
    got = []

    async def follow(client: AsyncClient) -> None:
        async with client.stream(request.watch(WIDGET, "team", "", "1", 30), silence=0.5) as parts:
            async for part in parts:
                got.append(part)
                passed_on.set()

    async with AsyncClient(access, "test") as client:
        with pytest.raises(UnreachableError):
            await follow(client)
    assert got == [b"one", b"two"]
