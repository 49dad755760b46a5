"""What keeps objects from being as planned, after a refusal or a contest."""

import pytest

from fastchat._kube.errors import ApiError
from fastchat_operator.key import ModelKey
from fastchat_operator.kube.kind import DEPLOYMENT
from fastchat_operator.observe.cause import Cause
from fastchat_operator.reconcile.applier import Applier
from fastchat_operator.reconcile.contest import ContestedError, Contests, Subject
from fastchat_operator.store import Store

WORKERS = Subject(DEPLOYMENT, "team", "vicuna-worker")
STATUS = Subject.of_model(ModelKey("team", "vicuna"), "status")


@pytest.fixture
def contests():
    """What somebody has changed back four times is contested."""
    found = Contests()
    for _ in range(4):
        found.wrote(WORKERS, "mark", "field manager 'x'")
    return found


@pytest.fixture
def applier(contests):
    return Applier(None, Store(), None, contests, lambda keys: None)


def test_a_refusal_is_told_in_the_words_of_the_api_server(applier):
    assert applier.trouble(ApiError(422, "invalid"), [STATUS]) == Cause("ApplyFailed", "invalid")


def test_a_contest_is_told_with_who_it_is_whether_or_not_this_write_was_put_off(applier):
    for refused in (None, ContestedError("put off", 60)):
        cause = applier.trouble(refused, [STATUS, WORKERS])
        assert cause.reason == "Contested"
        assert "field manager 'x'" in cause.message


def test_a_contest_of_another_object_is_no_trouble(applier):
    assert applier.trouble(None, [STATUS]) is None


def test_a_model_is_not_scaled_while_somebody_scales_it_back(applier, contests):
    key = ModelKey("team", "vicuna")
    assert applier.may_scale(key)
    for _ in range(4):
        contests.wrote(Subject.of_model(key, "scale"), "3", "field manager 'x'")
    assert not applier.may_scale(key)
