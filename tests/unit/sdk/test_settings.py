import ast
import inspect
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.client_settings import unset_settings

import fastchat
from fastchat import client


@pytest.fixture(autouse=True)
def unset() -> Iterator[None]:
    with unset_settings():
        yield


def test_without_anything_set_calls_go_to_localhost() -> None:
    assert client._settings().base_url == "http://localhost:8000"


@pytest.mark.parametrize("url", [None, ""])
def test_no_base_url_falls_back_to_the_environment(url: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    client.set_baseurl("http://set")
    monkeypatch.setenv("FASTCHAT_BASEURL", "http://environment:8080/v1/")
    client.set_baseurl(url)
    assert client._settings().base_url == "http://environment:8080"


def test_an_empty_variable_is_no_base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCHAT_BASEURL", "")
    assert client._settings().base_url == "http://localhost:8000"


def test_the_base_url_that_was_set_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCHAT_BASEURL", "http://environment")
    client.set_baseurl("http://set/")
    assert client._settings().base_url == "http://set"


def test_a_bad_base_url_is_refused_at_once_and_the_old_one_stays() -> None:
    client.set_baseurl("http://set")
    with pytest.raises(ValueError, match="'localhost:8000'"):
        client.set_baseurl("localhost:8000")
    assert client._settings().base_url == "http://set"


def test_a_bad_base_url_of_the_environment_is_named_at_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCHAT_BASEURL", "localhost:8000")
    with pytest.raises(ValueError, match=r"'localhost:8000'.*FASTCHAT_BASEURL"):
        client.Model.list()


def test_the_key_comes_from_the_environment_unless_it_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCHAT_API_KEY", "sk-environment\n")
    assert client._settings().api_key == "sk-environment"
    client.set_api_key("sk-set")
    assert client._settings().api_key == "sk-set"


def test_openais_key_is_never_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    assert client._settings().api_key is None


def test_the_timeout_is_660_seconds_until_it_is_set() -> None:
    assert client._settings().timeout == 660
    client.set_timeout(math.inf)
    assert client._settings().timeout == math.inf


def test_a_timeout_of_no_time_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="Invalid timeout 0"):
        client.set_timeout(0)


def test_retries_can_be_switched_off() -> None:
    client.set_max_retries(0)
    assert client._settings().max_retries == 0


def test_a_negative_number_of_retries_is_refused() -> None:
    with pytest.raises(ValueError, match="Invalid number of retries -1"):
        client.set_max_retries(-1)


def test_an_empty_model_name_is_refused_before_it_lists_all() -> None:
    with pytest.raises(ValueError, match="Invalid model name ''"):
        client.Model.retrieve("")


@pytest.mark.parametrize("resource", [client.ChatCompletion, client.Completion, client.Embedding, client.Model])
def test_every_blocking_call_has_an_awaited_one_with_the_same_parameters(resource: type) -> None:
    calls = dict(inspect.getmembers(resource, inspect.ismethod))
    blocking = [name for name in calls if f"a{name}" in calls]
    assert len(calls) == 2 * len(blocking)
    for name in blocking:
        assert inspect.signature(calls[name]).parameters == inspect.signature(calls[f"a{name}"]).parameters
        assert inspect.iscoroutinefunction(calls[f"a{name}"])


def test_the_sdk_never_starts_an_event_loop() -> None:
    package = Path(fastchat.__file__).parent
    for file in (package / "client.py", package / "errors.py", *package.glob("_client/*.py")):
        tree = ast.parse(file.read_text())
        called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not called & {"run", "run_until_complete", "new_event_loop", "Runner"}, file
