"""What the gateway counts, as Prometheus reads it."""

from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fastchat_gateway.routing.catalog import Catalog, EndpointRecord, ModelRecord
from fastchat_gateway.telemetry.metrics import Metrics

CHAT = "/v1/chat/completions"


@pytest.fixture
def catalog() -> Catalog:
    catalog = Catalog()
    catalog.update([ModelRecord("m", ("m",), (EndpointRecord("http://worker:8000", ready=True),))])
    return catalog


@pytest.fixture
def metrics(catalog) -> Metrics:
    return Metrics(catalog, SimpleNamespace(contact=None))


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """(name without prefix, label values in order of label name) → value."""
    return {
        (sample.name.removeprefix("fastchat_gateway_"), *(value for _, value in sorted(sample.labels.items()))): (
            sample.value
        )
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def test_a_request_counts_for_the_name_of_its_key(metrics):
    metrics.request("m", CHAT, 200, "ok", "alice")
    metrics.request("m", CHAT, 200, "ok", "alice")
    metrics.request("m", CHAT, 200, "ok")
    counted = samples(metrics)
    assert counted["requests_total", "alice", "m", "ok", CHAT, "200"] == 2
    assert counted["requests_total", "", "m", "ok", CHAT, "200"] == 1


def test_tokens_count_by_model_key_and_direction(metrics):
    for _ in range(2):
        metrics.tokens("m", "alice", 30, 4)
    assert samples(metrics)["tokens_total", "in", "alice", "m"] == 60
    assert samples(metrics)["tokens_total", "out", "alice", "m"] == 8


def test_an_answer_without_a_first_byte_has_a_duration_only(metrics):
    metrics.times("m", CHAT, None, 2.0)
    counted = samples(metrics)
    assert counted["request_duration_seconds_count", "m", CHAT] == 1
    assert ("time_to_first_byte_seconds_count", "m", CHAT) not in counted


def test_waits_and_refusals_of_the_queue_count_by_model(metrics):
    metrics.held("m", 3)
    metrics.queue_refused("m", "full")
    counted = samples(metrics)
    assert counted["held_seconds_sum", "m"] == 3
    assert counted["queue_refused_total", "m", "full"] == 1


def test_a_retry_counts_as_ejection_only_where_a_worker_was_left_out(metrics):
    metrics.retry("m", ejected=False)
    metrics.retry("m", ejected=True)
    counted = samples(metrics)
    assert counted["retries_total", "m"] == 2
    assert counted["ejections_total", "m"] == 1


def test_what_is_watched_is_read_when_it_is_scraped(metrics):
    keys = ["a"]
    metrics.watch("keys", lambda: len(keys))
    keys.append("b")
    assert samples(metrics)["keys",] == 2


def test_demand_is_read_off_the_catalog_when_it_is_scraped(metrics, catalog):
    model = catalog.find("m")
    model.in_flight = 3
    assert samples(metrics)["requests_in_flight", "m"] == 3
    assert samples(metrics)["requests_held", "m"] == 0
    assert samples(metrics)["endpoints_ready", "m"] == 1


def test_metrics_answer_whatever_names_and_numbers_came(metrics):
    for _ in range(2):
        metrics.tokens("m", "alice", 10**400, 10**5000)
    metrics.request('\ud800\x00\n"\\', CHAT, 200, "ok", "ü")
    metrics.held("\udfff", 1)
    counted = samples(metrics)
    assert counted["tokens_total", "in", "alice", "m"] == 2 * 2**53
    assert any("ü" in key for key in counted)
