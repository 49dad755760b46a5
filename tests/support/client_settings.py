"""The settings that all calls of the module `fastchat.client` share, as before anybody has set any."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fastchat import client
from fastchat._client.settings import Settings


@contextmanager
def unset_settings() -> Iterator[None]:
    """Nothing is set, in the environment neither; what is set meanwhile is gone afterwards."""
    with pytest.MonkeyPatch.context() as environment:
        for name in ("FASTCHAT_BASEURL", "FASTCHAT_API_KEY"):
            environment.delenv(name, raising=False)
        yield
    client.set_baseurl(None)
    client.set_api_key(None)
    client.set_timeout(Settings.timeout)
    client.set_max_retries(Settings.max_retries)
