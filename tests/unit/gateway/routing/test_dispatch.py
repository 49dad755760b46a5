import pytest

from fastchat_gateway.errors import RefusedError
from fastchat_gateway.routing.catalog import Catalog, Endpoint, EndpointRecord, ModelRecord, QueueLimits
from fastchat_gateway.routing.dispatch import Dispatch, GiveUp, Wait

URLS = ("http://a", "http://b")


def catalog(*urls: str, ready: bool = True) -> Catalog:
    made = Catalog()
    made.update([ModelRecord("m", ("m",), tuple(EndpointRecord(u, ready) for u in urls), queue=QueueLimits(1, 60))])
    return made


def fail(dispatch: Dispatch, *, lost: bool = False) -> str:
    """Take the next endpoint and let it fail; its URL."""
    step = dispatch.next(0)
    assert isinstance(step, Endpoint)
    dispatch.failed(step, 0, lost=lost)
    return step.url


def test_a_failed_endpoint_is_not_tried_twice() -> None:
    dispatch = Dispatch(catalog(*URLS), "m")
    assert sorted([fail(dispatch), fail(dispatch)]) == list(URLS)
    assert isinstance(dispatch.next(0), Wait)


def test_without_a_ready_endpoint_the_request_waits_until_the_models_deadline() -> None:
    step = Dispatch(catalog("http://a", ready=False), "m").next(5)
    assert isinstance(step, Wait)
    assert step.deadline == 65


def test_the_deadline_counts_from_the_first_wait() -> None:
    dispatch = Dispatch(catalog(), "m")
    dispatch.next(5)
    step = dispatch.next(30)
    assert isinstance(step, Wait)
    assert step.deadline == 65


def test_after_the_deadline_the_request_is_refused_for_now() -> None:
    dispatch = Dispatch(catalog(), "m")
    dispatch.next(5)
    with pytest.raises(RefusedError) as refused:
        dispatch.next(65)
    assert refused.value.status == 503
    assert refused.value.header_lines == b"retry-after: 5\r\n"


def test_an_endpoint_that_is_confirmed_after_its_failure_is_tried_again() -> None:
    models = catalog("http://a")
    dispatch = Dispatch(models, "m")
    fail(dispatch)
    assert isinstance(dispatch.next(0), Wait)
    models.confirm("http://a")
    assert isinstance(dispatch.next(0), Endpoint)


def test_a_request_that_all_refuse_round_after_round_is_given_up() -> None:
    models = catalog("http://a")
    dispatch = Dispatch(models, "m")
    for _ in range(2):
        fail(dispatch)
        assert isinstance(dispatch.next(0), Wait)
        models.confirm("http://a")
    fail(dispatch)
    assert isinstance(dispatch.next(0), GiveUp)


def test_a_request_under_which_two_workers_died_gets_no_third() -> None:
    dispatch = Dispatch(catalog("http://a", "http://b", "http://c"), "m")
    for _ in range(2):
        fail(dispatch, lost=True)
    step = dispatch.next(0)
    assert isinstance(step, GiveUp)
    assert not step.silence
    assert len(set(step.lost)) == 2


def test_a_request_that_may_have_silenced_its_worker_gets_no_second() -> None:
    dispatch = Dispatch(catalog(*URLS), "m")
    step = dispatch.next(0)
    assert isinstance(step, Endpoint)
    dispatch.fell_silent(step, 0, suspect=True)
    given_up = dispatch.next(0)
    assert isinstance(given_up, GiveUp)
    assert given_up.silence
    assert given_up.lost == (step.url,)


def test_any_other_request_of_a_silent_worker_goes_to_another_and_no_new_one_to_it() -> None:
    models = catalog(*URLS)
    dispatch = Dispatch(models, "m")
    silent = dispatch.next(0)
    assert isinstance(silent, Endpoint)
    dispatch.fell_silent(silent, 0, suspect=False)
    for one in (dispatch, *[Dispatch(models, "m") for _ in range(9)]):
        other = one.next(0)
        assert isinstance(other, Endpoint)
        assert other is not silent
    models.confirm(silent.url)
    assert isinstance(fresh := Dispatch(models, "m").next(0), Endpoint)
    assert fresh in (silent, other)
    assert not silent.silent


def test_any_number_of_endpoints_may_refuse_a_connection_in_one_round() -> None:
    dispatch = Dispatch(catalog(*(f"http://{number}" for number in range(9))), "m")
    assert len({fail(dispatch) for _ in range(9)}) == 9


def test_being_called_for_nothing_uses_up_no_round() -> None:
    dispatch = Dispatch(catalog("http://a", ready=False), "m")
    assert all(isinstance(dispatch.next(0), Wait) for _ in range(9))


def test_a_model_that_goes_while_its_request_waits_does_not_exist() -> None:
    models = catalog()
    dispatch = Dispatch(models, "m")
    dispatch.next(0)
    models.update([])
    with pytest.raises(RefusedError) as refused:
        dispatch.next(0)
    assert refused.value.status == 404


def was_full(dispatch: Dispatch) -> str:
    """Take the next endpoint, whose queue is full; its URL."""
    step = dispatch.next(0)
    assert isinstance(step, Endpoint)
    dispatch.was_full(step)
    return step.url


def test_where_all_queues_are_full_the_request_is_given_up_at_once_and_nobody_has_failed() -> None:
    models = catalog(*URLS)
    dispatch = Dispatch(models, "m")
    assert sorted([was_full(dispatch), was_full(dispatch)]) == list(URLS)
    assert isinstance(dispatch.next(0), GiveUp)
    assert models.suspects() == []


def test_after_three_full_queues_no_fourth_is_tried() -> None:
    dispatch = Dispatch(catalog(*URLS, "http://c", "http://d"), "m")
    assert len({was_full(dispatch) for _ in range(3)}) == 3
    assert isinstance(dispatch.next(0), GiveUp)


def lose_midway(dispatch: Dispatch, *, went_on: bool) -> None:
    step = dispatch.next(0)
    assert isinstance(step, Endpoint)
    dispatch.lost_midway(step, 0, went_on=went_on, silent=False)


def test_workers_lost_after_they_had_gone_on_are_no_reason_to_give_up() -> None:
    dispatch = Dispatch(catalog(*URLS, "http://c", "http://d"), "m")
    for _ in range(3):
        lose_midway(dispatch, went_on=True)
    assert isinstance(dispatch.next(0), Endpoint)
    lose_midway(dispatch, went_on=False)
    assert isinstance(dispatch.next(0), GiveUp)


def test_a_worker_that_handed_over_is_not_asked_again_and_has_not_failed() -> None:
    models = catalog("http://a")
    dispatch = Dispatch(models, "m")
    step = dispatch.next(0)
    assert isinstance(step, Endpoint)
    dispatch.handed_over(step)
    assert isinstance(dispatch.next(0), Wait)
    assert models.suspects() == []


def test_with_only_workers_left_that_have_another_model_it_gives_up_and_says_so() -> None:
    dispatch = Dispatch(catalog(*URLS), "m")
    for _ in URLS:
        step = dispatch.next(0)
        assert isinstance(step, Endpoint)
        dispatch.differs(step)
    step = dispatch.next(0)
    assert isinstance(step, GiveUp)
    assert step.differs
