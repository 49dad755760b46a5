"""Which files make a model."""

import pytest

from fastchat_worker.errors import LoadError
from fastchat_worker.sources.layout import gguf_of, needed


@pytest.mark.parametrize("path", ["model-00001-of-00002.safetensors", "tokenizer.json", "sub/x.py", "merges.txt"])
def test_what_transformers_reads_is_needed(path):
    assert needed(path)


@pytest.mark.parametrize("path", ["README.md", "onnx/model.bin", "sub/model.onnx", "original/consolidated.00.pth"])
def test_what_it_does_not_read_is_not_needed(path):
    assert not needed(path)


@pytest.mark.parametrize("name", ["config.json", "modules.json"])
def test_a_configuration_goes_before_gguf_files(name):
    assert gguf_of([name, "a.gguf"], "x") is None


def test_files_in_folders_below_make_no_model():
    with pytest.raises(LoadError, match=r"x holds no model: neither config.json nor a \.gguf file"):
        gguf_of(["sub/config.json", "sub/a.gguf"], "x")


def test_a_single_gguf_file_is_the_model():
    assert gguf_of(["a.gguf", "sub/b.gguf", "notes.txt"], "x") == "a.gguf"


def test_several_gguf_files_are_named():
    with pytest.raises(LoadError, match=r"x holds several GGUF files; name one of a\.gguf, b\.gguf"):
        gguf_of(["b.gguf", "a.gguf"], "x")
