"""Whether two workers say with the same thing."""

import pytest

from fastchat_worker.sources.digest import ModelDigest, differences, files_digest

SIZE = 40 * 2**20


@pytest.fixture
def digest_of(tmp_path):
    def digest(content: bytes, name: str = "model.safetensors") -> str:
        (tmp_path / name).write_bytes(content)
        return files_digest(tmp_path, [name])

    return digest


def test_other_weights_of_the_same_shapes_are_told_apart(digest_of):
    head = bytes(9 * 2**20)
    assert digest_of(head + b"a" * SIZE) != digest_of(head + b"b" * SIZE)
    assert digest_of(head + b"a" * SIZE) != digest_of(head + b"a" * (SIZE // 2) + b"b" * (SIZE // 2))


def test_one_byte_of_a_small_file_is_enough(digest_of):
    assert digest_of(b"a" * 999 + b"b") != digest_of(b"a" * 1000)
    assert digest_of(b"a", "one.json") != digest_of(b"a", "two.json")


def test_the_same_files_elsewhere_are_the_same(digest_of, tmp_path):
    here = digest_of(b"x" * SIZE)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "model.safetensors").write_bytes(b"x" * SIZE)
    assert files_digest(tmp_path / "copy", ["model.safetensors"]) == here


def test_what_differs_is_named():
    ours = ModelDigest("1", "2", "3")
    assert differences(ours.with_adapter("4"), ours.with_adapter("4")) == []
    assert differences(ours.with_adapter("4"), ours.with_adapter()) == ["adapter"]
    other = ModelDigest("9", "2", "9").with_adapter("4")
    assert differences(ours.with_adapter("4"), other) == ["model or tokenizer", "dtype or quantization"]
    assert differences(ours.with_adapter(), "of.another.form") == ["release"]
