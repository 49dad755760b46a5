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
