"""The body of a request: read, bounded and validated."""

import asyncio
from typing import TypeVar

from fastapi import Request
from pydantic import ValidationError

from fastchat._runtime.coding import ACCEPTED, TooLargeError, coding_of, expand
from fastchat._runtime.refusal import RefusalError
from fastchat._runtime.resuming import RESUMABLE_HEADER, RESUME_HEADER
from fastchat._runtime.surrogates import field_of_half
from fastchat.api import request_error, structure
from fastchat.api.common import Request as ApiRequest
from fastchat_worker.errors import RequestError, half_character, too_complex, too_large
from fastchat_worker.http.unknown import note_unknown
from fastchat_worker.serving.resuming.progress import MOST_BYTES, Resumption, parsed, wrong
from fastchat_worker.serving.service import Service

_QUICK_BYTES = 4096
"""A body of this size takes less time to validate, right or wrong, than to hand to a thread."""

_UNSUPPORTED = 415
_DIGITS = 10

R = TypeVar("R", bound=ApiRequest)


async def parse_serving(request: Request, model: type[R], service: Service) -> R:
    """Like `parse`, with a note of what nobody knows in it. Raises also: RequestError 503 where the worker drains."""
    wanted = await parse(request, model, service.settings.max_body_bytes)
    note_unknown(request, wanted, service)
    service.check_serving()
    return wanted


async def parse(request: Request, model: type[R], limit: int) -> R:
    """The body, of at most `limit` bytes, as a request. Raises: RequestError, which names what is wrong with it.

    Where what was generated elsewhere stands before it, `resumption_of` gives that from here on.
    """
    before = _bytes_before(request)
    whole = await _read(request, before + limit)
    if before:
        request.scope["progress"] = await asyncio.to_thread(parsed, whole[:before])
    body = await _plain(request, whole[before:], limit)
    if len(body) <= _QUICK_BYTES:
        return validated(body, model)
    return await asyncio.to_thread(validated, body, model)


def resumption_of(request: Request) -> Resumption:
    """What a gateway says of a request whose body was parsed."""
    return Resumption(request.headers.get(RESUMABLE_HEADER) == "1", request.scope.get("progress"))


def _bytes_before(request: Request) -> int:
    """Bytes before the body proper. Raises: RequestError 400 for what is no number, or too great a one."""
    header = request.headers.get(RESUME_HEADER)
    if header is None:
        return 0
    if not (header.isascii() and header.isdigit() and len(header) < _DIGITS and 0 < int(header) <= MOST_BYTES):
        raise wrong(f"{RESUME_HEADER} is no number from 1 to {MOST_BYTES}")
    return int(header)


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
