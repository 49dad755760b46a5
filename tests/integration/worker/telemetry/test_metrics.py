"""What a worker counts, and what its answers say of how busy it is."""

import re
import time
from collections import Counter

import httpx

LONG = {"model": "smollm2", "prompt": "hello", "max_tokens": 500, "stream": True, "logit_bias": {"2": -100}}


def complete(worker, **fields) -> None:
    body = {"model": "tiny", "prompt": "hello", "max_tokens": 6, "logit_bias": {"1": -100}, **fields}
    assert httpx.post(worker.url + "/v1/completions", json=body, timeout=30).is_success


def counted(worker, **fields) -> Counter:
    """By how much one request moves what is counted."""
    before = counters(worker)
    complete(worker, **fields)
    after = counters(worker)
    return Counter({name: after[name] - before[name] for name in after})


def counters(worker) -> Counter:
    lines = httpx.get(worker.url + "/metrics").text.splitlines()
    plain = [line.removeprefix("fastchat_worker_").split() for line in lines if not line.startswith("#")]
    return Counter({name: float(value) for name, value in plain})


def test_tokens_are_counted_as_the_model_reads_and_makes_them(tiny):
    moved = counted(tiny, n=2)
    assert moved["prompt_tokens_read_total"] == 2 * len("hello")
    assert moved["tokens_generated_total"] == 2 * 6


def test_steps_are_counted_with_their_batch_and_their_duration(tiny):
    moved = counted(tiny, n=2)
    assert moved["step_seconds_count"] == moved["step_sequences_count"] >= 6
    assert moved["step_sequences_sum"] == 2 * 6
    assert 0 < moved["step_seconds_sum"] < 30


def test_the_time_between_tokens_is_counted_for_every_sequence(tiny):
    moved = counted(tiny, n=2)
    assert moved["inter_token_seconds_count"] == 2 * 5  # the first token of each has none before it
    assert moved['inter_token_seconds_bucket{le="+Inf"}'] == 2 * 5


def test_a_pause_between_requests_is_no_time_between_tokens(tiny):
    complete(tiny)
    time.sleep(1)
    assert counted(tiny)["inter_token_seconds_sum"] < 1


def test_the_cache_is_used_while_sequences_run_and_empty_afterwards(smollm2, llm):
    slots = smollm2.gauge("slots")
    assert smollm2.gauge("cache_tokens") == slots * 8192
    with llm.stream("POST", "/v1/completions", json=LONG) as stream:
        next(stream.iter_lines())
        assert smollm2.gauge("sequences_running") == 1
        assert 1 <= smollm2.gauge("cached_tokens") <= 501
    smollm2.wait_for(lambda: smollm2.gauge("sequences_running") == 0)
    assert smollm2.gauge("cached_tokens") == 0


def test_answers_say_how_busy_the_worker_is(smollm2, llm):
    slots = int(smollm2.gauge("slots"))
    with llm.stream("POST", "/v1/completions", json=LONG) as stream:
        assert re.fullmatch(r"running=\d waiting=\d free_slots=\d+ texts=0", stream.headers["x-fastchat-load"])
        next(stream.iter_lines())
        busy = llm.post("/v1/completions", json={"model": "other", "prompt": "x"}).headers["x-fastchat-load"]
    assert busy == f"running=1 waiting=0 free_slots={slots - 1} texts=0"
    smollm2.wait_for(lambda: smollm2.gauge("sequences_running") == 0)


def test_an_embedding_model_says_how_many_texts_wait(embedder):
    answer = embedder.post("/v1/embeddings", json={"model": "minilm", "input": "x"})
    assert answer.headers["x-fastchat-load"] == "texts=0"
