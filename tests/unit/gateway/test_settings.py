from pathlib import Path

import pytest

from fastchat.keys.record import digest
from fastchat_gateway.settings import parse

WORKER = "--worker=http://127.0.0.1:8000"


def test_workers_come_from_arguments_and_environment_each_once() -> None:
    settings = parse([WORKER], {"FASTCHAT_WORKERS": "http://b:1/, http://127.0.0.1:8000,"})
    assert settings.workers == ("http://127.0.0.1:8000", "http://b:1")


def test_aliases_may_be_several() -> None:
    assert parse([WORKER, "--alias=gpt=m", "--alias=x=a=b"], {}).aliases == {"gpt": "m", "x": "a=b"}


def test_keys_come_from_file_and_environment_and_only_digests_are_kept(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("one\n\n two \n")
    settings = parse([WORKER, f"--api-key-file={tmp_path / 'keys'}"], {"FASTCHAT_API_KEYS": "three,one,"})
    assert settings.key_digests == tuple(digest(key) for key in (b"one", b"two", b"three"))


def test_a_folder_of_keys_and_whether_one_is_needed_are_taken(tmp_path: Path) -> None:
    settings = parse([WORKER, f"--keys-dir={tmp_path}", "--require-api-keys"], {})
    assert (settings.keys_dir, settings.require_api_keys) == (tmp_path, True)
    assert (parse([WORKER], {}).keys_dir, parse([WORKER], {}).require_api_keys) == (None, False)


def test_the_internal_token_comes_from_the_environment() -> None:
    assert parse([WORKER], {"FASTCHAT_INTERNAL_TOKEN": "t0k"}).internal_token == b"t0k"
    assert parse([WORKER], {}).internal_token is None


@pytest.mark.parametrize("token", ["", "a b", "a\n", "ä"])
def test_a_token_that_would_open_or_break_a_header_is_refused(token: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse([WORKER], {"FASTCHAT_INTERNAL_TOKEN": token})
    assert "FASTCHAT_INTERNAL_TOKEN must be printable ASCII" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [(["--namespace=team"], {}), ([], {"POD_NAMESPACE": "team"}), (["--namespace=team"], {"POD_NAMESPACE": "other"})],
)
def test_the_namespace_is_the_one_given_or_else_the_pods(arguments: list[str], environ: dict[str, str]) -> None:
    settings = parse(["--kubernetes", *arguments], environ)
    assert (settings.namespace, settings.workers) == ("team", ())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --namespace NAME or set POD_NAMESPACE"),
        (["--namespace=a/b"], "not a namespace: 'a/b'"),
        (["--namespace=team", WORKER], "ModelDeployments say what is served"),
        (["--namespace=team", "--alias=gpt=m"], "ModelDeployments say what is served"),
    ],
)
def test_what_does_not_go_with_kubernetes_is_named(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(["--kubernetes", *arguments], {})
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_limits_are_taken() -> None:
    settings = parse([WORKER, "--queue-max-requests=3", "--queue-timeout-seconds=1.5", "--no-access-log"], {})
    assert (settings.queue.max_requests, settings.queue.timeout_seconds) == (3, 1.5)
    assert not settings.access_log


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--worker=localhost:8000", "not a worker's URL: 'localhost:8000'"),
        ("--worker=http://", "not a worker's URL"),
        ("--worker=http://x:99999", "not a worker's URL"),
        ("--worker=http://x/v1", "not a worker's URL"),
        ("--alias=gpt", "not an alias: 'gpt'"),
        ("--alias==m", "not an alias"),
        ("--alias=m=m", "not an alias"),
        ("--port=70000", "70000 is not between 0 and 65535"),
        ("--port=x", "not a whole number: 'x'"),
        ("--max-body-bytes=0", "0 is not between 1"),
        ("--queue-timeout-seconds=0", "not a number of seconds above 0"),
        ("--queue-timeout-seconds=nan", "not a number of seconds above 0"),
        ("--api-key-file=/does/not/exist", "cannot read the API keys"),
        ("--keys-dir=/does/not/exist", "no folder with API keys: '/does/not/exist'"),
        ("--allowed-origins=example.com", "not an origin: 'example.com'; it looks like https://chat.example.com"),
        ("--allowed-origins=https://a.example/", "not an origin"),
        ("--allowed-origins=https://a.example,null", "not an origin: 'null'"),
        ("--allowed-origins=https://*.example", "not an origin"),
        ("--allowed-hosts=a.example:8000", "not a host: 'a.example:8000'; it looks like"),
        ("--allowed-methods=GET POST", "not a method: 'GET POST'"),
        ("--allowed-headers=x:", "not a header: 'x:'"),
    ],
)
def test_a_wrong_argument_is_named_on_one_line(argument: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse([WORKER, argument], {})
    assert stop.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_lists_are_given_with_commas_or_again() -> None:
    arguments = ["--allowed-origins=http://a:3000,https://B.example", "--allowed-origins=app://c"]
    settings = parse([WORKER, *arguments, "--allowed-hosts=localhost,[::1]", "--allowed-methods=*"], {})
    assert settings.allowed_origins == ("http://a:3000", "https://B.example", "app://c")
    assert (settings.allowed_hosts, settings.allowed_methods) == (("localhost", "[::1]"), ("*",))
    assert parse([WORKER, "--allowed-hosts=localhost", "--allowed-hosts=*"], {}).allowed_hosts == ()
    assert (parse([WORKER], {}).allowed_origins, parse([WORKER], {}).allowed_hosts) == ((), ())


def test_a_gateway_without_workers_says_what_to_give(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse([], {})
    assert "give --worker URL, set FASTCHAT_WORKERS, or give --kubernetes" in capsys.readouterr().err


def test_a_key_file_without_a_key_is_refused_rather_than_open_to_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "keys").write_text("\n")
    with pytest.raises(SystemExit):
        parse([WORKER, f"--api-key-file={tmp_path / 'keys'}"], {})
    assert "no API key in" in capsys.readouterr().err
