"""Fields of a request that nobody knows: ignored and named in a response header, or refused."""

import re

from fastapi import Request

from fastchat.api.common import Request as ApiRequest
from fastchat_worker.errors import unknown_fields
from fastchat_worker.serving.service import Service

HEADER = "x-fastchat-ignored"
_MOST = 8
_LONGEST = 24  # characters of one name; the caller chose it, and gateways pass on 256 in all
_ODD = re.compile(r"[^A-Za-z0-9_.-]")


def note_unknown(request: Request, wanted: ApiRequest, service: Service) -> None:
    """Names what is ignored, for the header and the metric. Raises: RequestError 400 with `--strict-fields`."""
    unknown = wanted.unknown_fields
    if not unknown:
        return
    if service.settings.strict_fields:
        raise unknown_fields(unknown[0][:256])
    service.metrics.ignored_fields.inc(len(unknown))
    shown = [_ODD.sub("_", name[:_LONGEST]) or "_" for name in unknown[:_MOST]]
    request.scope["ignored"] = ",".join(shown + ["..."] * (len(unknown) > _MOST))
