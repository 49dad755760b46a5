"""Traces, where OpenTelemetry's environment variables ask for them; otherwise nothing of OpenTelemetry is imported.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from opentelemetry import trace as otel
    from opentelemetry.sdk.trace import TracerProvider

logger = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

H = TypeVar("H")
T = TypeVar("T")


class Tracer(Generic[H, T]):
    """Begins the trace `T` of each request, from its headers `H`; one that is made of nothing begins none."""

    def __init__(self, begin: Callable[[H], T] | None = None, close: Callable[[], None] | None = None) -> None:
        self._begin = begin
        self._close = close

    def begin(self, headers: H) -> T | None:
        """The request's part of the trace that its `traceparent` names, or a trace of its own; None while off."""
        return self._begin(headers) if self._begin else None

    def close(self) -> None:
        """Send what is left; takes OTEL_EXPORTER_OTLP_TIMEOUT at most where the collector does not answer."""
        if self._close:
            self._close()


def start(
    package: str, load: "Callable[[], Callable[[otel.Tracer, H], T]]", environ: Mapping[str, str] = os.environ
) -> Tracer[H, T]:
    """The tracer that the environment asks for, of the part whose package this is.

    `load` gives what makes a trace of a request's headers. It is called only where there are to be traces, so that what
    it imports may import OpenTelemetry.
    """
    if not wanted(environ):
        return Tracer()
    try:
        provider, trace = _provider(package.replace("_", "-")), load()
    except ModuleNotFoundError:
        logger.warning("no traces: OpenTelemetry is not installed; pip install 'fastchat-k8s[tracing]'")
        return Tracer()
    return Tracer(partial(trace, provider.get_tracer(package)), provider.shutdown)


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether a collector is named, and traces are not switched off."""
    disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return any(map(environ.get, _ENDPOINTS)) and not disabled and environ.get("OTEL_TRACES_EXPORTER") != "none"


def _provider(service: str) -> "TracerProvider":
    """Where to and how much is the environment's to say, and under which name, `service` unless it does."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create().merge(Resource({"service.name": service})).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
