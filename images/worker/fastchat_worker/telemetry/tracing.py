"""The worker's tracer: `fastchat._runtime.tracing` with the traces of this part's requests."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fastchat._runtime import tracing

if TYPE_CHECKING:
    from fastchat_worker.telemetry.trace import Trace

Tracer = tracing.Tracer[Mapping[str, str], "Trace"]


def start(environ: Mapping[str, str] = os.environ) -> Tracer:
    """The tracer that the environment asks for."""
    return tracing.start("fastchat_worker", _trace, environ)


def _trace() -> "type[Trace]":
    from fastchat_worker.telemetry.trace import Trace

    return Trace
