import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from fastchat.keys.record import digest, new_key
from fastchat_gateway.access.keyring import NO_KEY, Keyring
from fastchat_gateway.errors import RefusedError
from fastchat_gateway.http.request_head import RequestHead

NOW = 1_800_000_000.0
ALICE, BOB = new_key(), new_key()


def entry(key: str, **fields: Any) -> str:
    return json.dumps({"sha256": digest(key.encode()).hex(), **fields})


def bearer(key: str) -> bytes:
    return digest(key.encode())


def brought(header: bytes) -> bytes | None:
    """What is known of a request with this `Authorization`."""
    return RequestHead("GET", b"/", [(b"Authorization", header)], http_1_0=False, keep_alive=True).bearer


def name_of(keyring: Keyring, key: str) -> str:
    return keyring.find(bearer(key), NOW).name


def refusal(keyring: Keyring, key: bytes | None, now: float = NOW) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        keyring.find(key, now)
    assert (caught.value.status, caught.value.header_lines) == (401, b"www-authenticate: Bearer\r\n")
    return caught.value


def mount(folder: Path, version: str, entries: dict[str, str]) -> None:
    """As kubelet does it: files in a folder of their own, a link to it that is turned, links to the files."""
    before = folder / os.readlink(folder / "..data") if (folder / "..data").is_symlink() else None
    (folder / version).mkdir(parents=True)
    for name, text in entries.items():
        (folder / version / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    turn(folder, version)
    for link in folder.iterdir():
        if not link.exists():
            link.unlink()
    if before:
        shutil.rmtree(before)


def turn(folder: Path, version: str) -> None:
    (folder / "..data_tmp").symlink_to(version)
    (folder / "..data_tmp").rename(folder / "..data")


@pytest.mark.parametrize("header", [b"Bearer one", b"bearer two", b"Bearer  one ", b" Bearer one"])
def test_a_known_key_opens(header: bytes) -> None:
    assert Keyring([digest(b"one"), digest(b"two")]).find(brought(header), NOW).name in ("key-1", "key-2")


@pytest.mark.parametrize(
    "header", [b"", b"one", b"Bearer", b"Bearer three", b"Basic one", b"Bearer one two", b"\xff", b"Bearer \xff"]
)
def test_anything_else_does_not(header: bytes) -> None:
    refusal(Keyring([digest(b"one")]), brought(header))


def test_without_keys_everyone_is_served_unless_keys_are_required() -> None:
    assert Keyring().find(None, NOW) is NO_KEY
    assert Keyring().find(bearer("x"), NOW) is NO_KEY
    refusal(Keyring(required=True), None)


def test_keys_of_the_command_line_have_a_number_and_no_limits() -> None:
    key = Keyring([digest(b"one"), digest(b"two")]).find(bearer("two"), NOW)
    assert (key.name, key.models, key.requests_per_minute, key.tokens_per_minute) == ("key-2", None, None, None)
    assert (key.max_concurrent, key.expires) == (None, None)


def test_a_missing_a_wrong_and_an_expired_key_are_refused_in_their_own_words(tmp_path: Path) -> None:
    (tmp_path / "alice").write_text(entry(ALICE, expires="2027-01-01T00:00:00Z"))
    keyring = Keyring(folder=tmp_path)
    end = 1_798_761_600.0
    assert keyring.find(bearer(ALICE), end - 1).expires == end
    errors = [
        refusal(keyring, None).error,
        refusal(keyring, bearer(BOB)).error,
        refusal(keyring, bearer(ALICE), end).error,
    ]
    assert [error.code for error in errors] == ["invalid_api_key", "invalid_api_key", "expired_api_key"]
    assert len({error.message for error in errors}) == 3
    assert "expired at 2027-01-01T00:00:00Z" in errors[2].message


def test_a_file_says_what_its_key_may_do(tmp_path: Path) -> None:
    limits = {"models": ["a", "b"], "requestsPerMinute": 60, "tokensPerMinute": 10000, "maxConcurrent": 4}
    (tmp_path / "alice").write_text(entry(ALICE, **limits))
    key = Keyring(folder=tmp_path).find(bearer(ALICE), NOW)
    assert (key.name, key.models) == ("alice", {"a", "b"})
    assert (key.requests_per_minute, key.tokens_per_minute, key.max_concurrent) == (60, 10000, 4)


def test_the_key_itself_is_nowhere_in_a_keyring(tmp_path: Path) -> None:
    (tmp_path / "alice").write_text(entry(ALICE))
    keyring = Keyring(folder=tmp_path)
    assert ALICE not in repr(vars(keyring)) + repr(keyring.find(bearer(ALICE), NOW))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the file: Invalid JSON"),
        ("{}", "sha256: Field required"),
        ('{"sha256": "abc"}', "sha256: String should match"),
        (entry(ALICE, maxConcurrent=0), "maxConcurrent: Input should be greater than or equal to 1"),
        (entry(ALICE, requestsPerMinute="9"), "requestsPerMinute: Input should be a valid integer"),
        (entry(ALICE, models=[]), "models: List should have at least 1 item"),
        (entry(ALICE, expires="2027-01-01T00:00:00"), "expires: Input should have timezone info"),
        (entry(ALICE, tokensPerDay=9), "tokensPerDay: Extra inputs are not permitted"),
    ],
)
def test_a_broken_file_locks_its_key_out_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, why: str
) -> None:
    (tmp_path / "alice").write_text(text)
    keyring = Keyring(folder=tmp_path)
    refusal(keyring, b"")
    refusal(keyring, bearer(ALICE))
    (tmp_path / "bob").write_text(entry(BOB))
    assert keyring.reload()
    assert name_of(keyring, BOB) == "bob"
    assert [record.message for record in caplog.records if why in record.message and "'alice'" in record.message]
    assert len(caplog.records) == 1


def test_a_file_that_may_not_be_read_keeps_no_other_key_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def read(path: Path) -> bytes:  # root, which tests may be, is never refused
        if path.name == "alice":
            raise PermissionError(13, "Permission denied", str(path))
        return path.read_text().encode()

    monkeypatch.setattr(Path, "read_bytes", read)
    (tmp_path / "alice").write_text(entry(ALICE))
    (tmp_path / "bob").write_text(entry(BOB))
    keyring = Keyring(folder=tmp_path)
    (tmp_path / "bob").unlink()
    assert keyring.reload()
    refusal(keyring, bearer(ALICE))
    refusal(keyring, bearer(BOB))
    assert "API key 'alice' is locked out: [Errno 13] Permission denied" in caplog.text


def test_a_key_written_in_place_of_its_hash_is_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "alice").write_text(json.dumps({"sha256": ALICE}))
    (tmp_path / "bob").write_text(BOB)
    Keyring(folder=tmp_path)
    assert len(caplog.records) == 2
    assert ALICE not in caplog.text
    assert BOB not in caplog.text


def test_the_same_key_under_two_names_has_the_first_ones_limits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "alice").write_text(entry(ALICE, maxConcurrent=1))
    (tmp_path / "zoe").write_text(entry(ALICE))
    assert Keyring(folder=tmp_path).find(bearer(ALICE), NOW).max_concurrent == 1
    assert "'zoe' is ignored: it is the same key as 'alice'" in caplog.text


def test_a_key_given_twice_has_the_limits_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "alice").write_text(entry(ALICE, maxConcurrent=1))
    assert Keyring([digest(ALICE.encode())], tmp_path).find(bearer(ALICE), NOW).max_concurrent == 1


def test_a_change_of_the_folder_is_taken_over(tmp_path: Path) -> None:
    keyring = Keyring(folder=tmp_path)
    assert not keyring.required
    (tmp_path / "alice").write_text(entry(ALICE))
    assert keyring.reload()
    assert not keyring.reload()
    assert name_of(keyring, ALICE) == "alice"
    (tmp_path / "alice").write_text(entry(BOB))
    assert keyring.reload()
    refusal(keyring, bearer(ALICE))
    assert name_of(keyring, BOB) == "alice"
    (tmp_path / "alice").unlink()
    assert keyring.reload()
    assert not keyring.required


def test_a_mounted_secret_is_taken_over_as_a_whole(tmp_path: Path) -> None:
    mount(tmp_path, "..1", {"alice": entry(ALICE), "bob": entry(BOB)})
    keyring = Keyring(folder=tmp_path)
    assert (name_of(keyring, ALICE), name_of(keyring, BOB)) == ("alice", "bob")
    mount(tmp_path, "..2", {"bob": entry(BOB)})
    assert keyring.reload()
    refusal(keyring, bearer(ALICE))
    assert name_of(keyring, BOB) == "bob"
    assert not keyring.reload()


def test_a_secret_that_is_being_deleted_is_not_half_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mount(tmp_path, "..1", {"alice": entry(ALICE), "bob": entry(BOB)})
    keyring = Keyring(folder=tmp_path)
    mount(tmp_path, "..2", {"alice": entry(ALICE), "bob": entry(BOB)})
    shutil.copytree(tmp_path / "..2", tmp_path / "..3")
    scandir = os.scandir

    def scandir_late(path: Path) -> Any:
        monkeypatch.undo()
        turn(tmp_path, "..3")
        (tmp_path / "..2" / "bob").unlink()
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scandir_late)
    assert not keyring.reload()
    assert name_of(keyring, BOB) == "bob"
    assert keyring.reload()
    assert name_of(keyring, BOB) == "bob"


def test_a_folder_that_cannot_be_read_opens_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "keys"
    keyring = Keyring(folder=folder)
    refusal(keyring, b"")
    folder.mkdir()
    (folder / "alice").write_text(entry(ALICE))
    assert keyring.reload()
    shutil.rmtree(folder)
    for _ in range(2):
        assert not keyring.reload()
    assert name_of(keyring, ALICE) == "alice"
    assert [record.message.startswith("cannot read the API keys") for record in caplog.records] == [True, True]


def test_a_key_is_an_operators_only_where_its_entry_says_so(tmp_path):
    (tmp_path / "alice").write_text(entry(ALICE, operator=True))
    (tmp_path / "bob").write_text(entry(BOB))
    keyring = Keyring(folder=tmp_path)
    known = [keyring.known(bearer(key), NOW) for key in (ALICE, BOB)]
    assert [key and key.operator for key in known] == [True, False]
    assert keyring.known(bearer("another"), NOW) is None


def test_an_operators_key_that_has_expired_is_none(tmp_path):
    (tmp_path / "alice").write_text(entry(ALICE, operator=True, expires="2020-01-01T00:00:00Z"))
    assert Keyring(folder=tmp_path).known(bearer(ALICE), NOW) is None
