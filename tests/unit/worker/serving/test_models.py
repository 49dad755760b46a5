"""Models by the names that requests have for them."""

import pytest

from fastchat.api import CompletionRequest
from fastchat_worker.errors import RequestError
from fastchat_worker.serving.models import Generator, ServedModel, ServedModels


class Embedder:
    max_len = 8


class Batcher:
    waiting = 3


@pytest.fixture
def models() -> ServedModels:
    return ServedModels("m", "Embed")


@pytest.fixture
def model() -> ServedModel:
    return ServedModel(Embedder(), Batcher())  # type: ignore[arg-type]


def refusal(find, name: str) -> tuple[int, str | None]:
    with pytest.raises(RequestError) as refused:
        find(name)
    return refused.value.status, refused.value.error.code


def test_a_model_is_found_by_its_name_and_has_no_adapter(models, model):
    models.add(model)
    assert models.find("m") == (model, None)


def test_another_name_is_not_found_whether_or_not_the_model_is_loaded(models, model):
    assert refusal(models.find, "other") == refusal(models.card, "other") == (404, "model_not_found")
    models.add(model)
    assert refusal(models.find, "other") == (404, "model_not_found")


def test_a_model_that_is_not_loaded_yet_is_listed_and_not_ready(models):
    assert [(card.id, card.max_model_len) for card in models.cards().data] == [("m", None)]
    assert refusal(models.find, "m") == (503, "loading")


def test_a_model_that_is_loaded_says_how_long_its_context_is_and_how_busy_it_is(models, model):
    assert models.load == ""
    models.add(model)
    assert models.card("m").max_model_len == 8
    assert models.load == "texts=3"


def test_a_model_for_embeddings_generates_nothing(models, model):
    models.add(model)
    assert refusal(models.find_generator, "m") == (400, "unsupported_task")


@pytest.mark.parametrize(("shared", "same"), [(False, False), (True, True)])
def test_keys_are_owners_of_their_prefixes_unless_all_share_them(shared, same):
    generator = Generator(None, None, None, shares_prefixes=shared)  # type: ignore[arg-type]
    request = CompletionRequest(model="m", prompt="x")
    assert (generator.owner("alice", request) == generator.owner("bob", request)) is same


def test_a_salt_makes_an_owner_of_its_own():
    generator = Generator(None, None, None, shares_prefixes=True)  # type: ignore[arg-type]
    plain, salted = (CompletionRequest(model="m", prompt="x", cache_salt=salt) for salt in (None, "s"))
    assert generator.owner("alice", plain) != generator.owner("alice", salted)
