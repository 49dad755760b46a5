"""The socket that a part serves on."""

import socket

import pytest

from fastchat._runtime.listen import ListenError, listen, url_of


@pytest.fixture
def resolving(monkeypatch):
    """Has every name resolve to these addresses."""

    def resolve(*hosts):
        found = [(socket.AF_INET6 if ":" in host else socket.AF_INET, 1, 6, "", (host, 0)) for host in hosts]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    return resolve


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_it_listens_on_a_free_port_and_says_which(host):
    with listen(host, 0) as listener:
        port = listener.getsockname()[1]
        assert url_of(listener) == f"http://127.0.0.1:{port}"
        socket.create_connection(("127.0.0.1", port)).close()


def test_of_a_name_with_addresses_of_both_kinds_it_takes_an_ipv4_one(resolving):
    resolving("::1", "127.0.0.1")
    with listen("both", 0) as listener:
        assert listener.family == socket.AF_INET


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_a_url_has_brackets_around_an_ipv6_address():
    try:
        listener = listen("::1", 0)
    except ListenError:
        pytest.skip("no IPv6 address here")
    with listener:
        assert url_of(listener) == f"http://[::1]:{listener.getsockname()[1]}"


def test_an_empty_host_is_every_address():
    with listen("", 0) as listener:
        assert listener.getsockname()[0] == "0.0.0.0"


def test_where_somebody_else_listens_it_says_so_in_the_systems_words():
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ListenError, match=rf"^cannot listen on 127\.0\.0\.1:{port}: Address already in use$"):
            listen("127.0.0.1", port)


def test_of_a_name_that_is_none_it_says_so():
    with pytest.raises(ListenError, match=r"^cannot listen on no\.such\.invalid:80: ."):
        listen("no.such.invalid", 80)
