"""An S3 bucket: what is in it, and its bytes."""

import html
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import S3Store

from fastchat_worker.errors import LoadError

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ClientConfig

_PIECE = 1 << 18  # bytes
_ATTEMPTS = 5  # in a row that bring nothing
_AMAZON = "https://s3.amazonaws.com"


class UnreachableError(LoadError):
    """S3 cannot be reached, or fails itself; files that were downloaded earlier can still be used."""


@dataclass(frozen=True)
class Object:
    """A file in a bucket; `path` is where it belongs below the model's folder."""

    key: str
    path: str
    size: int
    etag: str | None


class Bucket:
    """Reads one bucket, with the credentials, region and endpoint of Amazon's AWS_ environment variables."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._endpoint = _endpoint()
        with self._explained(""):
            self._store = S3Store(
                name,
                client_options=_client_options(),
                retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=60)},
            )

    def objects(self, prefix: str) -> list[Object]:
        """The files below a prefix, a path without slashes around it, or the one file of that name; sorted."""
        with self._explained(prefix):
            found = [meta for some in self._store.list(prefix or None, chunk_size=1000) for meta in some]
            if found or not prefix:
                return _objects(found, prefix)
            try:
                return _objects([self._store.head(prefix)], str(PurePosixPath(prefix).parent))
            except FileNotFoundError:
                return []

    def read(self, item: Object, start: int, end: int) -> Iterator[bytes]:
        """The bytes from start to end, in pieces; after a broken connection it continues where that ended."""
        attempts = 0
        while start < end:
            try:
                with self._explained(item.key):
                    reply = self._store.get(item.key, options={"range": (start, end), "if_match": item.etag})
                    for piece in reply.stream(_PIECE):
                        yield piece
                        start += len(piece)
                        attempts = 0
            except UnreachableError:
                attempts += 1
                if attempts == _ATTEMPTS:
                    raise
                time.sleep(2**attempts)

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            raise explain(str(error), f"s3://{self._name}/{key}", self._endpoint) from None


def _endpoint() -> str:
    """The URL of S3. Raises: LoadError where the environment has one that is none."""
    url = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or _AMAZON
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise LoadError(f"AWS_ENDPOINT_URL is {url}, which is no URL: write it as https://host:port")
    return url


def explain(text: str, url: str, endpoint: str) -> LoadError:
    """An error of the S3 library in terms of what to change.

    text: the library's message, the only place where it has the server's status and XML document.
    """
    reason = _reason(text)
    for pattern, message in _MEANINGS:
        if re.search(pattern, text):
            return LoadError(message.format(url=url, bucket=url.split("/")[2], endpoint=endpoint, reason=reason))
    if re.search(r"status code: (5|429)|HTTP error", text):
        return UnreachableError(f"cannot read {url} at {endpoint}: {reason}; check the network and AWS_ENDPOINT_URL")
    return LoadError(f"cannot use {url} at {endpoint}: {reason}")


_MEANINGS = (  # the first that is found
    (  # the library asks for credentials by itself: a file, a token service, at last the machine that it runs on
        r"token file|performing \w+ https?://(169\.254\.|sts\.)",
        "there are no credentials for {url} ({reason}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
        "or run under a service account that has a role",
    ),
    (
        r"InvalidCertificate",
        "the certificate of {endpoint} is not trusted ({reason}): "
        "set AWS_CA_BUNDLE to a file with that of its authority",
    ),
    (
        r"<Code>(InvalidAccessKeyId|SignatureDoesNotMatch)<",
        "{endpoint} does not know these credentials: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    (
        r"<Code>(ExpiredToken|InvalidToken)<",
        "the credentials for {url} have expired: renew AWS_SESSION_TOKEN and what belongs to it",
    ),
    (  # the latter is a redirect, which the library does not follow
        r"<Code>(AuthorizationHeaderMalformed|PermanentRedirect)<|incorrectly configured region",
        "{bucket} is in another region: set AWS_REGION ({reason})",
    ),
    (
        r"<Code>NoSuchBucket<",
        "there is no bucket {bucket} at {endpoint}: check its name, AWS_ENDPOINT_URL and AWS_REGION",
    ),
    (r"<Code>(NoSuchKey|PreconditionFailed)<", "{url} was changed while it was downloaded: start again"),
    (r"<Code>InvalidObjectState<", "{url} is archived: restore it first"),
    (
        r"status code: 403",
        "{endpoint} denies access to {url} ({reason}): its credentials need s3:ListBucket and s3:GetObject there",
    ),
)
_REASONS = (  # the first that is found: the server's message, its status, the innermost cause
    r"<Message>(.*?)</Message>",
    r"status code: (\d+[\w ]*)",
    r"InvalidCertificate\(\s*(\w+)",
    r'.*(?:message|error): "(.*?)"',
)


def _reason(text: str) -> str:
    if "kind: Timeout" in text:
        return "it does not respond"
    for pattern in _REASONS:
        if found := re.search(pattern, text, re.DOTALL):
            return html.unescape(found[1])
    return text.partition("\n")[0].rpartition(" - ")[2]


def _objects(found: "list[ObjectMeta]", folder: str) -> list[Object]:
    """The files, without the empty objects that some tools write for folders."""
    folders = {str(parent) for meta in found for parent in PurePosixPath(meta["path"]).parents}
    files = sorted((meta for meta in found if meta["path"] not in folders), key=lambda meta: meta["path"])
    return [
        Object(meta["path"], str(PurePosixPath(meta["path"]).relative_to(folder)), meta["size"], meta["e_tag"])
        for meta in files
    ]


def _client_options() -> "ClientConfig":
    options: ClientConfig = {"allow_http": True, "timeout": "1day", "read_timeout": "20s"}
    bundle = os.environ.get("AWS_CA_BUNDLE")
    if bundle:
        try:
            options["root_certificate"] = Path(bundle).read_text()
        except OSError as error:
            raise LoadError(f"AWS_CA_BUNDLE is {bundle}: {error.strerror}") from None
    return options
