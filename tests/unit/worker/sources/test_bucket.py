"""What the errors of the S3 library mean; those that a server here can give are tested with one."""

import pytest

from fastchat_worker.sources.bucket import UnreachableError, explain

ENDPOINT = "https://s3.amazonaws.com"
REFUSED = (
    "Generic S3 error: Error performing list request: Error performing GET https://s3.amazonaws.com/b in 1ms - "
    "Server returned non-2xx status code: {status}: <Error><Code>{code}</Code><Message>It says &#34;no&#34;.</Message>"
    "</Error>\n\nDebug source:\nGeneric {{ }}"
)


def _told(text: str) -> str:
    return str(explain(text, "s3://b/m", ENDPOINT))


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        ("400 Bad Request", "ExpiredToken", "the credentials for s3://b/m have expired: renew AWS_SESSION_TOKEN"),
        ("403 Forbidden", "InvalidObjectState", "s3://b/m is archived: restore it first"),
        ("301 Moved", "PermanentRedirect", 'b is in another region: set AWS_REGION (It says "no".)'),
        ("403 Forbidden", "SomethingNew", 'https://s3.amazonaws.com denies access to s3://b/m (It says "no".): '),
        ("400 Bad Request", "SomethingNew", 'cannot use s3://b/m at https://s3.amazonaws.com: It says "no".'),
    ],
)
def test_a_refusal_names_what_to_change_and_is_no_absence(status, code, told):
    text = REFUSED.format(status=status, code=code)
    assert _told(text).startswith(told)
    assert not isinstance(explain(text, "s3://b/m", ENDPOINT), UnreachableError)


def test_a_redirect_without_a_document_is_another_region():
    text = (
        "Generic S3 error: Error performing GET https://s3.amazonaws.com/b in 1ms - "
        "Received redirect without LOCATION, this normally indicates an incorrectly configured region\n\nDebug source:"
    )
    assert _told(text).startswith("b is in another region: set AWS_REGION (Received redirect without LOCATION")


@pytest.mark.parametrize(
    "text",
    [
        "Generic S3 error: Failed to read token file '/var/run/token': No such file or directory (os error 2)",
        "Error performing PUT http://169.254.169.254/latest/api/token in 5s, after 3 retries  - HTTP error: error",
        "Error performing POST https://sts.eu-west-1.amazonaws.com/ in 1s - Server returned non-2xx status code: "
        "403 Forbidden: <Code>AccessDenied</Code><Message>Not authorized to perform sts:x</Message>",
    ],
)
def test_credentials_that_cannot_be_had_are_not_taken_for_a_refusal_by_s3(text):
    assert _told(text).startswith("there are no credentials for s3://b/m (")


@pytest.mark.parametrize("status", ["500 Internal Server Error", "503 Service Unavailable"])
def test_a_server_that_fails_is_unreachable(status):
    error = explain(f"GET x - Server returned non-2xx status code: {status}: <html></html>", "s3://b/m", ENDPOINT)
    assert isinstance(error, UnreachableError)
    assert status in str(error)


def test_a_server_that_does_not_respond_is_unreachable():
    error = explain("GET x - HTTP error: error sending request\nHttpError { kind: Timeout }", "s3://b/m", ENDPOINT)
    assert isinstance(error, UnreachableError)
    assert "it does not respond" in str(error)
