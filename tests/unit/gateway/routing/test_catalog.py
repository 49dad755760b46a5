from fastchat.api import Task
from fastchat_gateway.routing.catalog import NO_LIMIT, Catalog, Endpoint, EndpointRecord, ModelRecord


def record(name: str, *urls: str, ready: bool = True, aliases: tuple[str, ...] = (), **about: int) -> ModelRecord:
    return ModelRecord(name, (name, *aliases), tuple(EndpointRecord(url, ready) for url in urls), **about)


def catalog(*records: ModelRecord) -> Catalog:
    made = Catalog()
    made.update(records)
    return made


def only_endpoint(models: Catalog) -> Endpoint:
    (model,) = models
    (endpoint,) = model.endpoints
    return endpoint


def test_a_model_is_found_by_name_and_by_alias() -> None:
    models = catalog(record("vicuna", aliases=("gpt",)))
    assert models.find("vicuna") is models.find("gpt")
    assert models.find("other") is None


def test_a_model_whose_own_name_another_has_is_found_by_the_others() -> None:
    models = catalog(ModelRecord("a", ("a",)), ModelRecord("a", ("x", "y")))
    first, second = models
    assert models.find("a") is first
    assert models.find("x") is models.find("y") is second
    assert second.name == "a"
    assert models.names() == {"a": "a", "x": "a", "y": "a"}


def test_an_alias_has_a_card_that_names_the_model_as_its_root() -> None:
    models = catalog(record("vicuna", aliases=("gpt",), max_model_len=4096))
    cards = [models.card(name) for name in models.names()]
    assert [(card.id, card.get("root"), card.max_model_len) for card in cards] == [
        ("gpt", "vicuna", 4096),
        ("vicuna", None, 4096),
    ]


def test_a_card_has_no_null_for_what_is_unknown() -> None:
    card = catalog(record("vicuna")).card("vicuna")
    assert card.to_dict() == {"id": "vicuna", "object": "model", "created": 0, "owned_by": "fastchat"}


def test_models_that_generate_text_are_listed_before_the_others() -> None:
    tasks: dict[str, Task | None] = {"a": "Embed", "b": "Rerank", "c": None, "d": "Generate"}
    models = catalog(*(ModelRecord(name, (name, f"{name}-alias"), task=task) for name, task in tasks.items()))
    assert [*models.names()] == ["c", "c-alias", "d", "d-alias", "a", "a-alias", "b", "b-alias"]
    assert models.names(["a", "gone", "d-alias"]) == {"d-alias": "d", "a": "a"}


def test_an_endpoint_keeps_its_outstanding_requests_over_an_update() -> None:
    models = catalog(record("m", "http://a"))
    endpoint = only_endpoint(models)
    endpoint.outstanding = 7
    models.update([record("m", "http://a", "http://b")])
    assert [(e.url, e.outstanding) for e in next(iter(models)).endpoints] == [("http://a", 7), ("http://b", 0)]


def test_a_worker_of_two_models_is_one_endpoint() -> None:
    one, two = catalog(record("one", "http://a"), record("two", "http://a"))
    assert one.endpoints[0] is two.endpoints[0]


def of_pods(*uids: str, model: str = "m", ready: bool = True) -> ModelRecord:
    """Pods that all have, or had, the same address."""
    return ModelRecord(model, (model,), tuple(EndpointRecord("http://a", ready, uid) for uid in uids))


def test_another_pod_at_the_same_address_is_another_endpoint_without_the_past_of_the_first() -> None:
    models = catalog(of_pods("one"))
    first = only_endpoint(models)
    first.outstanding, first.failures, first.suspect = 3, 2, True
    models.update([of_pods("two")])
    second = only_endpoint(models)
    assert second.attempt_key != first.attempt_key
    assert (second.outstanding, second.failures, second.suspect, second.ready) == (0, 0, False, True)


def test_an_address_that_went_from_one_model_to_another_is_ready_only_for_the_new_one() -> None:
    old, new = catalog(of_pods("one", model="old", ready=False), of_pods("two", model="new"))
    assert [old.endpoints[0].ready, new.endpoints[0].ready] == [False, True]


def test_suspects_are_ready_endpoints_that_failed_until_they_are_confirmed() -> None:
    models = catalog(of_pods("one"))
    endpoint = only_endpoint(models)
    assert models.suspects() == []
    endpoint.suspect = True
    assert models.suspects() == [endpoint]
    models.confirm("http://a", "one")
    assert models.suspects() == []
    endpoint.suspect = True
    models.update([of_pods("one", ready=False)])
    assert models.suspects() == []


def test_confirming_a_pod_says_nothing_of_the_one_that_has_its_address_now() -> None:
    models = catalog(of_pods("two"))
    endpoint = only_endpoint(models)
    endpoint.suspect = True
    models.confirm("http://a", "one")
    assert endpoint.suspect


def test_a_worker_that_came_back_is_a_fresh_chance_without_a_past() -> None:
    models = catalog(record("m", "http://a"))
    endpoint = only_endpoint(models)
    before = endpoint.attempt_key
    endpoint.failures, endpoint.ejections, endpoint.ejected_until = 2, 3, 99.0
    models.update([record("m", "http://a", ready=False)])
    models.update([record("m", "http://a")])
    assert endpoint.attempt_key != before
    assert (endpoint.failures, endpoint.ejections, endpoint.ejected_until) == (0, 0, 0.0)


def test_only_a_suspect_becomes_a_fresh_chance_when_it_is_confirmed() -> None:
    models = catalog(record("m", "http://a"))
    endpoint = only_endpoint(models)
    before = endpoint.attempt_key
    models.confirm("http://a")
    assert endpoint.attempt_key == before
    endpoint.suspect = True
    models.confirm("http://a")
    assert endpoint.attempt_key != before
    assert not endpoint.suspect


def test_a_gone_model_is_not_found_any_more() -> None:
    models = catalog(record("m", "http://a", aliases=("x",)))
    models.update([])
    assert models.find("m") is None
    assert models.find("x") is None


class Looks:
    """A request in a queue that counts how often it looked."""

    def __init__(self, models: Catalog, name: str = "m") -> None:
        model = models.find(name)
        assert model is not None
        self.sequences = 1
        assert model.queue.enter(self, "key", 1)
        self.times = 0

    def look(self) -> bool:
        self.times += 1
        return True

    def evict(self) -> None:
        raise AssertionError("there is room")


def test_who_waits_looks_when_an_endpoint_becomes_ready() -> None:
    models = catalog(record("m", "http://a", ready=False))
    waiting = Looks(models)
    models.update([record("m", "http://a")])
    assert waiting.times == 1


def test_who_waits_looks_when_a_suspect_is_confirmed() -> None:
    models = catalog(record("m", "http://a"))
    only_endpoint(models).suspect = True
    waiting = Looks(models)
    models.confirm("http://a")
    assert waiting.times == 1


def test_who_waits_for_a_model_that_goes_looks() -> None:
    models = catalog(record("m"))
    waiting = Looks(models)
    models.update([])
    assert waiting.times == 1


def test_who_waits_for_one_model_does_not_look_for_another() -> None:
    models = catalog(record("m"), record("other", "http://a", ready=False))
    waiting = Looks(models)
    models.update([record("m"), record("other", "http://a")])
    assert waiting.times == 0


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def held(replicas: int, in_flight: int, *, ready: int) -> tuple[Catalog, Time]:
    """A model that sleeps with a request held, then some of its workers become ready."""
    clock = Time()
    models = Catalog(clock)
    urls = [f"http://{number}" for number in range(replicas)]
    models.update([record("m", *urls, ready=False, replicas=replicas)])
    Looks(models)
    endpoints = tuple(EndpointRecord(url, number < ready) for number, url in enumerate(urls))
    models.update([ModelRecord("m", ("m",), endpoints, replicas=replicas)])
    model = next(iter(models))
    model.take(model.endpoints[0], in_flight)
    return models, clock


def test_the_first_worker_ready_of_four_gets_its_quarter_until_the_others_had_time_to_come() -> None:
    models, _ = held(4, 11, ready=1)
    (model,) = models
    assert model.most_outstanding(9.9) == 3
    assert model.most_outstanding(10) == NO_LIMIT


def test_the_only_worker_that_there_should_be_gets_everything_at_once() -> None:
    models, _ = held(1, 11, ready=1)
    (model,) = models
    assert model.most_outstanding(0) == NO_LIMIT


def test_without_anybody_in_the_queue_no_share_is_kept() -> None:
    models = catalog(record("m", "http://a", "http://b"))
    (model,) = models
    model.spread_until = 99
    assert model.most_outstanding(0) == NO_LIMIT


def test_when_the_others_do_not_come_those_who_wait_look_again() -> None:
    models, _ = held(4, 11, ready=1)
    waiting = next(iter(next(iter(models)).queue._waiting["key"]))
    before = waiting.times
    models.sweep(9.9)
    assert waiting.times == before
    models.sweep(10.0)
    assert waiting.times == before + 1
