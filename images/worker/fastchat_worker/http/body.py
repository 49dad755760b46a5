"""The body of a request: read, bounded and validated."""

import asyncio
from typing import TypeVar

from fastapi import Request
from pydantic import ValidationError

from fastchat._runtime.coding import ACCEPTED, TooLargeError, coding_of, expand
from fastchat._runtime.refusal import RefusalError
from fastchat._runtime.surrogates import field_of_half
from fastchat.api import request_error, structure
from fastchat.api.common import Request as ApiRequest
from fastchat_worker.errors import RequestError, half_character, too_complex, too_large
from fastchat_worker.http.unknown import note_unknown
from fastchat_worker.serving.service import Service

_QUICK_BYTES = 4096
"""A body of this size takes less time to validate, right or wrong, than to hand to a thread."""

_UNSUPPORTED = 415

R = TypeVar("R", bound=ApiRequest)


async def parse_serving(request: Request, model: type[R], service: Service) -> R:
    """Like `parse`, with a note of what nobody knows in it. Raises also: RequestError 503 where the worker drains."""
    wanted = await parse(request, model, service.settings.max_body_bytes)
    note_unknown(request, wanted, service)
    service.check_serving()
    return wanted


async def parse(request: Request, model: type[R], limit: int) -> R:
    """The body, of at most `limit` bytes, as a request. Raises: RequestError, which names what is wrong with it."""
    body = await _plain(request, await _read(request, limit), limit)
    if len(body) <= _QUICK_BYTES:
        return validated(body, model)
    return await asyncio.to_thread(validated, body, model)


async def _plain(request: Request, body: bytes, limit: int) -> bytes:
    """The body without its `Content-Encoding`. Raises: RequestError 413 for more than `limit` bytes, 400, 415."""
    header = request.headers.get("content-encoding")
    if header is None:
        return body
    try:
        coding = coding_of(header)
        return await asyncio.to_thread(expand, body, coding, limit) if coding else body
    except TooLargeError:
        raise too_large(limit) from None
    except RefusalError as refusal:
        accepted = {"Accept-Encoding": ACCEPTED} if refusal.status == _UNSUPPORTED else {}
        raise RequestError(refusal.status, refusal.error, accepted) from None


def validated(body: bytes, model: type[R]) -> R:
    """The body as a request. Raises: RequestError 400 where it has too much structure or is no such request."""
    try:
        structure.check(body)
        structure.check_objects(body)  # an error is built for each field that is unknown or wrong
        return model.model_validate_json(body)
    except structure.TooComplexError as error:
        raise too_complex(error) from None
    except ValidationError as invalid:
        wrong = request_error(invalid)
        field = field_of_half(body) if wrong.code == "invalid_json" else None
        raise (RequestError(400, wrong) if field is None else half_character(field)) from None


async def _read(request: Request, limit: int) -> bytes:
    """The body. Raises: RequestError 413 for more than `limit` bytes.

    The rest is read and dropped up to 16 times that, for a client that still writes would see a reset, not the 413.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif size > 16 * limit:
            break
    if size > limit:
        raise too_large(limit)
    return b"".join(parts)
