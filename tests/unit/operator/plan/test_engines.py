"""The table of engines."""

from typing import get_args

from fastchat.v1alpha1.deployment import Engine
from fastchat_operator.plan.engines import ENGINES


def test_every_engine_that_a_model_deployment_may_name_can_be_started():
    assert set(ENGINES) == set(get_args(Engine.model_fields["type"].annotation))
