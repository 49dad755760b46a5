"""Traces, where OpenTelemetry's environment variables ask for them; otherwise nothing of it is imported."""

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from fastchat_worker.telemetry.trace import Trace

log = logging.getLogger(__name__)
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Tracer:
    """Begins the trace of each request; without a provider there is none."""

    def __init__(self, provider: "TracerProvider | None" = None) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("fastchat_worker") if provider else None

    def begin(self, headers: Mapping[str, str]) -> "Trace | None":
        """The request's part of the trace that its `traceparent` names, or a trace of its own."""
        if self._tracer is None:
            return None
        from fastchat_worker.telemetry.trace import Trace

        return Trace(self._tracer, headers)

    def close(self) -> None:
        """Sends what is left; takes OTEL_EXPORTER_OTLP_TIMEOUT at most where the collector does not answer."""
        if self._provider:
            self._provider.shutdown()


def start(environ: Mapping[str, str] = os.environ) -> Tracer:
    """The tracer that the environment asks for: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/."""
    if not wanted(environ):
        return Tracer()
    try:
        from fastchat_worker.telemetry.trace import provider
    except ModuleNotFoundError:
        log.warning("no traces: OpenTelemetry is not installed; pip install 'fastchat-k8s[tracing]'")
        return Tracer()
    return Tracer(provider())


def wanted(environ: Mapping[str, str]) -> bool:
    """A collector is named, and traces are not switched off."""
    disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return any(map(environ.get, _ENDPOINTS)) and not disabled and environ.get("OTEL_TRACES_EXPORTER") != "none"
