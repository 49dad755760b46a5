"""Where a model's files are, by its source; how a worker ends without them stands in integration/worker/http."""

import pytest

from fastchat_worker.errors import LoadError
from fastchat_worker.sources.files import locate


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("package://no_such_package/model", "pip install no-such-package"),
        ("ftp://host/model", "unknown scheme 'ftp'"),
        ("pvc://claim/model", "the operator mounts a claim"),
    ],
)
def test_a_source_that_cannot_be_had_says_what_to_do(path, says, tmp_path):
    with pytest.raises(LoadError, match=says):
        locate(path, tmp_path, print)


def test_a_file_of_several_says_how_they_become_one(tmp_path):
    (tmp_path / "m-Q4_0-00001-of-00003.gguf").touch()
    says = r"m-Q4_0 is split into 3 files.*llama-gguf-split --merge m-Q4_0-00001-of-00003.gguf MERGED.gguf"
    with pytest.raises(LoadError, match=says):
        locate(str(tmp_path / "m-Q4_0-00001-of-00003.gguf"), tmp_path, print)
