from fastchat_gateway.catalog import Catalog, EndpointRecord, ModelRecord


def record(name: str, *urls: str, ready: bool = True, aliases: tuple[str, ...] = (), **about: int) -> ModelRecord:
    return ModelRecord(name, tuple(EndpointRecord(url, ready) for url in urls), aliases, **about)


def catalog(*records: ModelRecord) -> Catalog:
    made = Catalog()
    made.update(records)
    return made


def test_a_model_is_found_by_name_and_by_alias() -> None:
    models = catalog(record("vicuna", aliases=("gpt",)))
    assert models.find("vicuna") is models.find("gpt")
    assert models.find("other") is None


def test_a_models_own_name_wins_over_anothers_alias() -> None:
    models = catalog(record("a", aliases=("b",)), record("b"))
    found = models.find("b")
    assert found is not None
    assert found.name == "b"
    assert [card.id for card in models.cards()] == ["a", "b"]


def test_of_two_that_want_an_alias_the_first_has_it() -> None:
    found = catalog(record("a", aliases=("x",)), record("b", aliases=("x",))).find("x")
    assert found is not None
    assert found.name == "a"


def test_an_alias_has_a_card_that_names_the_model_as_its_root() -> None:
    cards = catalog(record("vicuna", aliases=("gpt",), max_model_len=4096)).cards()
    assert [(card.id, card.get("root"), card.max_model_len) for card in cards] == [
        ("gpt", "vicuna", 4096),
        ("vicuna", None, 4096),
    ]


def test_a_card_has_no_null_for_what_is_unknown() -> None:
    (card,) = catalog(record("vicuna")).cards()
    assert card.to_dict() == {"id": "vicuna", "object": "model", "created": 0, "owned_by": "fastchat"}


def test_an_endpoint_keeps_its_outstanding_requests_over_an_update() -> None:
    models = catalog(record("m", "http://a"))
    (endpoint,) = next(iter(models)).endpoints
    endpoint.outstanding = 7
    models.update([record("m", "http://a", "http://b")])
    assert [(e.url, e.outstanding) for e in next(iter(models)).endpoints] == [("http://a", 7), ("http://b", 0)]


def test_a_worker_of_two_models_is_one_endpoint() -> None:
    one, two = catalog(record("one", "http://a"), record("two", "http://a"))
    assert one.endpoints[0] is two.endpoints[0]


def test_a_draining_endpoint_is_not_ready() -> None:
    (model,) = catalog(ModelRecord("m", (EndpointRecord("http://a", ready=True, draining=True),)))
    assert not model.endpoints[0].ready


def test_a_worker_that_came_back_is_a_fresh_chance_without_a_past() -> None:
    models = catalog(record("m", "http://a"))
    (endpoint,) = next(iter(models)).endpoints
    before = endpoint.incarnation
    endpoint.failures, endpoint.ejections, endpoint.ejected_until = 2, 3, 99.0
    models.update([record("m", "http://a", ready=False)])
    models.update([record("m", "http://a")])
    assert endpoint.incarnation != before
    assert (endpoint.failures, endpoint.ejections, endpoint.ejected_until) == (0, 0, 0.0)


def test_only_a_suspect_becomes_a_fresh_chance_when_it_is_confirmed() -> None:
    models = catalog(record("m", "http://a"))
    (endpoint,) = next(iter(models)).endpoints
    before = endpoint.incarnation
    models.confirm("http://a")
    assert endpoint.incarnation == before
    endpoint.suspect = True
    models.confirm("http://a")
    assert endpoint.incarnation != before
    assert not endpoint.suspect


def test_a_gone_model_is_not_found_any_more() -> None:
    models = catalog(record("m", "http://a", aliases=("x",)))
    models.update([])
    assert models.find("m") is None
    assert models.find("x") is None


async def test_who_waits_is_called_when_an_endpoint_becomes_ready() -> None:
    models = catalog(record("m", "http://a", ready=False))
    (model,) = models
    with model.hold.enter(1) as place:
        models.update([record("m", "http://a")])
        assert await place.wait(0)


async def test_who_waits_is_called_when_a_suspect_is_confirmed() -> None:
    models = catalog(record("m", "http://a"))
    (model,) = models
    model.endpoints[0].suspect = True
    with model.hold.enter(1) as place:
        models.confirm("http://a")
        assert await place.wait(0)


async def test_who_waits_for_a_model_that_goes_is_called() -> None:
    models = catalog(record("m"))
    (model,) = models
    with model.hold.enter(1) as place:
        models.update([])
        assert await place.wait(0)


async def test_who_waits_for_one_model_is_not_called_for_another() -> None:
    models = catalog(record("m"), record("other", "http://a", ready=False))
    model = models.find("m")
    assert model is not None
    with model.hold.enter(1) as place:
        models.update([record("m"), record("other", "http://a")])
        assert not await place.wait(0)
