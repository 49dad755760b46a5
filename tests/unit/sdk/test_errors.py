import copy
import pickle

import pytest

from fastchat import errors

EVERY_KIND = [
    errors.FastChatError("broken"),
    errors.APIConnectionError("gone"),
    errors.APITimeoutError("silent"),
    errors.APIResponseError("odd", body="<html>"),
    errors.RateLimitError(
        "full",
        status_code=429,
        type="rate_limit_error",
        param="model",
        code="queue_full",
        request_id="r-1",
        retry_after=2.5,
        body={"error": {}},
    ),
]


@pytest.mark.parametrize("error", EVERY_KIND, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_pickling(error: errors.FastChatError, protocol: int) -> None:
    again = pickle.loads(pickle.dumps(error, protocol))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_an_error_can_be_copied() -> None:
    assert vars(copy.copy(EVERY_KIND[-1])) == vars(EVERY_KIND[-1])


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, errors.APIStatusError),
        (400, errors.BadRequestError),
        (401, errors.AuthenticationError),
        (403, errors.PermissionDeniedError),
        (404, errors.NotFoundError),
        (405, errors.APIStatusError),
        (413, errors.BadRequestError),
        (422, errors.BadRequestError),
        (429, errors.RateLimitError),
        (500, errors.InternalServerError),
        (502, errors.InternalServerError),
        (503, errors.ServiceUnavailableError),
    ],
)
def test_a_status_has_its_kind_of_error(status: int, kind: type[errors.APIStatusError]) -> None:
    assert errors.status_error_class(status) is kind


def test_an_unavailable_service_is_the_servers_fault() -> None:
    assert issubclass(errors.ServiceUnavailableError, errors.InternalServerError)


def test_a_timeout_is_a_connection_error() -> None:
    assert issubclass(errors.APITimeoutError, errors.APIConnectionError)


def test_the_text_of_a_status_error_names_status_and_request() -> None:
    assert str(EVERY_KIND[-1]) == "429: full (request r-1)"
