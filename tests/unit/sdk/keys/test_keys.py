"""`fastchat keys` with a folder."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fastchat.cli.main import main
from fastchat.keys.record import digest
from fastchat.keys.store import expiry, rows
from fastchat_gateway.access.keyring import Keyring

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def run(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `fastchat keys`."""
    capsys.readouterr()
    code = main(["keys", *arguments, f"--dir={folder}"])
    return code, *capsys.readouterr()


def test_a_key_is_alone_on_stdout_and_nowhere_else(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, folder, "create", "alice")
    key = out.removesuffix("\n")
    assert (code, key[:4], len(key)) == (0, "fck_", 47)
    assert "alice" in err
    assert key not in err
    assert key not in (folder / "alice").read_text()


def test_only_the_owner_can_read_what_is_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, folder, "create", "alice")
    assert [path.name for path in folder.iterdir()] == ["alice"]
    assert stat.S_IMODE((folder / "alice").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_gateway_takes_what_the_command_wrote(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limits = ("--models=a, b", "--requests-per-minute=60", "--tokens-per-minute=9000", "--max-concurrent=4")
    _, out, _ = run(capsys, folder, "create", "alice", *limits, "--expires=2999-01-01")
    key = Keyring(folder=folder).find(digest(out.strip().encode()), 0)
    assert (key.name, key.digest, key.models) == ("alice", digest(out.strip().encode()), {"a", "b"})
    assert (key.requests_per_minute, key.tokens_per_minute, key.max_concurrent) == (60, 9000, 4)
    assert key.expires == datetime(2999, 1, 1, tzinfo=UTC).timestamp()


def test_a_name_that_is_taken_is_refused_unless_it_is_replaced(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run(capsys, folder, "create", "alice")[1]
    assert run(capsys, folder, "create", "alice")[::2] == (
        1,
        "there is a key 'alice' already; --replace puts a new one in its place\n",
    )
    assert Keyring(folder=folder).find(digest(first.strip().encode()), 0).name == "alice"
    second = run(capsys, folder, "create", "alice", "--replace")[1]
    assert Keyring(folder=folder).find(digest(second.strip().encode()), 0).name == "alice"


@pytest.mark.parametrize("name", ["", "..", "../alice", ".alice", "a b", "a" * 64])
def test_a_name_that_no_secret_or_folder_takes_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    code, out, err = run(capsys, folder, "create", name)
    assert (code, out) == (1, "")
    assert "not a name for a key" in err
    assert not folder.exists()


def test_keys_are_listed_without_what_would_open_anything(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, folder, "list") == (0, "", "no keys\n")
    run(capsys, folder, "create", "bob", "--expires=2999-01-01T12:30:00Z")
    run(capsys, folder, "create", "alice", "--models=a,b", "--max-concurrent=4")
    lines = [line.split() for line in run(capsys, folder, "list")[1].splitlines()[1:]]
    assert lines == [
        ["alice", "valid", "a,b", "-", "-", "4", "-"],
        ["bob", "valid", "-", "-", "-", "-", "2999-01-01T12:30Z"],
    ]


def test_a_list_says_what_is_expired_and_what_is_broken() -> None:
    record = '{"sha256":"%s","expires":"2026-06-01T12:00:00Z"}' % ("0" * 64)
    assert [row[:2] for row in rows({"old": record, "bad": "{"}, NOW)] == [("bad", "broken"), ("old", "expired")]


def test_a_deleted_key_opens_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("alice", "bob"):
        run(capsys, folder, "create", name)
    assert run(capsys, folder, "delete", "alice")[0] == 0
    assert [path.name for path in folder.iterdir()] == ["bob"]
    assert run(capsys, folder, "delete", "alice")[::2] == (1, "there is no key 'alice', but bob\n")


def test_the_last_key_does_not_go_by_accident(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, folder, "create", "alice")
    code, _, err = run(capsys, folder, "delete", "alice")
    assert (code, (folder / "alice").exists()) == (1, True)
    assert "serves everyone" in err
    assert run(capsys, folder, "delete", "alice", "--last")[0] == 0
    assert not (folder / "alice").exists()


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("30d", datetime(2026, 7, 1, 12, tzinfo=UTC)),
        ("12h", datetime(2026, 6, 2, tzinfo=UTC)),
        ("2027-01-01", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2027-01-01T12:00:00+02:00", datetime(2027, 1, 1, 10, tzinfo=UTC)),
    ],
)
def test_an_expiry_is_a_date_or_a_time_from_now(text: str, when: datetime) -> None:
    assert expiry(text, NOW) == when


@pytest.mark.parametrize(
    "argument",
    ["--expires=2020-01-01", "--expires=0d", "--expires=soon", "--max-concurrent=0", "--tokens-per-minute=x"],
)
def test_a_limit_that_makes_no_sense_is_named(folder: Path, capsys: pytest.CaptureFixture[str], argument: str) -> None:
    code, _, err = run(capsys, folder, "create", "alice", argument)
    name, _, value = argument.partition("=")
    assert (code, err.count("\n")) == (2, 1)
    assert f"'{name}': " in err
    assert repr(value) in err
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    code, out, err = run(capsys, tmp_path / "file", "create", "alice")
    assert (code, out) == (1, "")
    assert str(tmp_path / "file") in err


def test_without_a_cluster_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    assert main(["keys", "list"]) == 1
    assert "there is no kubeconfig" in capsys.readouterr().err


def test_a_key_is_an_operators_only_where_that_was_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, folder, "create", "alice", "--operator")
    run(capsys, folder, "create", "bob")
    assert {key.name: key.operator for key in Keyring(folder=folder)} == {"alice": True, "bob": False}
    assert "operator" not in (folder / "bob").read_text()  # a gateway that does not know it would lock the key out
