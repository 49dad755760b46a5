"""How many workers a model gets for what its gateways say; time is a value."""

import pytest

from fastchat.demand import Demand, Worker
from fastchat_operator.scale.decision import begin, decide

DELAY = 300
LONG_AFTER = 10_000.0


class Scaled:
    """A ModelDeployment over time, every decision carried out."""

    def __init__(self, model, replicas=1, **scaling):
        self.model = model
        self.replicas = replicas
        self.scaling = {"minReplicas": 0, "maxReplicas": 8, "targetRequests": 16} | scaling
        self.history = None
        self.told = None

    def see(self, now, *gateways, rolling=False):
        """What is decided on these gateways' word: (held, in flight), or None of one that does not answer."""
        demands = {
            f"gateway-{number}": each and Demand(each[0], (Worker("", "worker", each[1]),))
            for number, each in enumerate(gateways)
        }
        deployment = self.model(replicas=self.replicas, autoscaling=self.scaling)
        decision = decide(deployment, demands, begin(deployment, self.history, now), now, rolling=rolling)
        self.history, self.replicas, self.told = decision.history, decision.replicas, decision
        return decision.replicas

    @property
    def reason(self):
        return self.told.cause and self.told.cause.reason


@pytest.fixture
def scaled(model):
    return lambda *args, **scaling: Scaled(model, *args, **scaling)


# --- up


@pytest.mark.parametrize(
    ("gateways", "replicas"),
    [
        ([(0, 0)], 0),
        ([(1, 0)], 1),
        ([(0, 16)], 1),
        ([(0, 17)], 2),
        ([(8, 8), (0, 17)], 3),
        ([(500, 500)], 8),
    ],
    ids=str,
)
def test_the_demand_of_all_gateways_is_served_by_as_many_workers_as_the_target_says_within_bounds(
    scaled, gateways, replicas
):
    assert scaled(0).see(0.0, *gateways) == replicas


def test_more_workers_come_at_once_and_the_numbers_are_told(scaled):
    model = scaled(2)
    assert model.see(0.0, (50, 11)) == 4
    assert model.told.message == "2 → 4 workers: 61 sequences in flight and held, 16 per worker"


def test_what_the_gateways_that_answer_have_is_enough_to_start_workers(scaled):
    assert scaled(0).see(0.0, None, (1, 0)) == 1


def test_fewer_than_min_are_filled_up_though_no_gateway_answers(scaled):
    model = scaled(0, minReplicas=2)
    assert model.see(0.0) == 2
    assert model.told.message == "0 → 2 workers: minReplicas is 2"


# --- down


def test_workers_go_when_the_need_was_lower_for_the_whole_delay(scaled):
    model = scaled(0)
    assert model.see(0.0, (0, 100)) == 7
    assert model.see(1.0, (0, 0)) == 7
    assert model.see(DELAY, (0, 0)) == 7
    assert model.see(DELAY + 0.1, (0, 0)) == 0
    assert model.told.message == (
        "7 → 0 workers: for 300 s no more were needed; now 0 sequences in flight and held, 16 per worker"
    )


def test_they_go_to_the_most_that_was_needed_within_the_delay(scaled):
    model = scaled(0)
    model.see(0.0, (0, 100))
    model.see(100.0, (0, 20))
    model.see(200.0, (0, 40))
    model.see(250.0, (0, 1))
    assert model.see(DELAY + 1.0, (0, 1)) == 3
    assert model.see(500.5, (0, 1)) == 1


def test_a_need_that_comes_back_within_the_delay_keeps_them(scaled):
    model = scaled(0)
    model.see(0.0, (0, 100))
    model.see(299.0, (0, 100))
    assert model.see(598.0, (0, 0)) == 7
    assert model.see(600.0, (0, 0)) == 0


def test_a_delay_of_nothing_stops_them_at_once(scaled):
    model = scaled(0, scaleDownDelaySeconds=0)
    assert model.see(0.0, (0, 100)) == 7
    assert model.see(0.1, (0, 1)) == 1


def test_an_operator_that_knows_no_history_waits_for_the_whole_delay(scaled):
    model = scaled(5)
    assert model.see(LONG_AFTER, (0, 0)) == 5
    assert model.see(LONG_AFTER + DELAY - 1, (0, 0)) == 5
    assert model.see(LONG_AFTER + DELAY, (0, 0)) == 0


def test_other_settings_begin_the_delay_anew(scaled):
    model = scaled(5)
    model.see(0.0, (0, 0))
    model.scaling["minReplicas"] = 1
    assert model.see(DELAY, (0, 0)) == 5
    assert model.see(2 * DELAY, (0, 0)) == 1


@pytest.mark.parametrize("delay", [0, DELAY])
def test_a_gateway_that_does_not_answer_stops_no_worker(scaled, delay):
    model = scaled(5, scaleDownDelaySeconds=delay)
    model.see(0.0, (0, 80), (0, 0))
    assert model.see(LONG_AFTER, (0, 0), None) == 5


def test_the_delay_begins_when_the_silent_gateway_is_back(scaled):
    model = scaled(5)
    model.see(0.0, (0, 0))
    model.see(200.0, None)
    assert model.see(DELAY + 1.0, (0, 0)) == 5
    assert model.see(200.0 + DELAY, (0, 0)) == 0


def test_without_any_gateway_no_worker_is_stopped(scaled):
    model = scaled(5)
    model.see(0.0)
    assert model.see(LONG_AFTER) == 5


def test_while_workers_are_replaced_none_is_stopped(scaled):
    model = scaled(5)
    model.see(0.0, (0, 0))
    assert model.see(DELAY + 1.0, (0, 0), rolling=True) == 5
    assert model.reason == "Updating"
    assert model.see(DELAY + 2.0, (0, 0)) == 0


def test_more_than_max_are_stopped_only_when_their_requests_have_ended(scaled):
    model = scaled(8, maxReplicas=2)
    model.see(0.0, (0, 100))
    assert model.see(DELAY + 1.0, (0, 100)) == 7
    assert model.see(DELAY + 2.0, (30, 33)) == 3
    assert model.see(DELAY + 3.0, (30, 32)) == 2
    assert model.told.message == "3 → 2 workers: maxReplicas is 2"


def test_never_fewer_than_min(scaled):
    model = scaled(5, minReplicas=2)
    model.see(0.0, (0, 0))
    assert model.see(DELAY + 1.0, (0, 0)) == 2


# --- what is told


def test_a_number_that_is_right_is_said_to_follow(scaled):
    model = scaled(1)
    model.see(0.0, (0, 1))
    assert model.reason == "Following"


def test_workers_that_wait_for_the_delay_are_told_once_it_has_been_calm(scaled):
    model = scaled(0)
    model.see(0.0, (0, 100))
    reasons = [model.see(now, (0, 1)) and model.reason for now in (1.0, 9.0, 10.0, DELAY)]
    assert reasons == ["Following", "Following", "Waiting", "Waiting"]


def test_a_demand_beyond_max_is_told(scaled):
    model = scaled(8)
    model.see(0.0, (500, 0))
    assert model.reason == "AtMaximum"
    assert "maxReplicas, 8" in model.told.cause.message


def test_the_gateway_that_is_silent_is_named_when_that_lasts(scaled):
    model = scaled(5)
    model.see(0.0, (0, 0), (0, 0))
    reasons = [model.see(now, (0, 0), None) and model.reason for now in (1.0, 5.9, 6.0)]
    assert reasons == [None, None, "GatewayUnknown"]
    assert model.told.cause.message == (
        "no worker is stopped: gateway pod gateway-1 does not say what it has in flight"
    )


def test_that_no_gateway_runs_is_told_at_once(scaled):
    model = scaled(5)
    model.see(0.0)
    assert model.told.cause.message == "no worker is stopped: no gateway pod runs"


def test_a_model_without_autoscaling_is_not_decided_on(model):
    with pytest.raises(ValueError, match="has no spec"):
        begin(model(), None, 0.0)
