"""How reconciliations are counted."""

import pytest

from fastchat._kube.errors import ApiError
from fastchat_operator.key import Key, ModelKey
from fastchat_operator.metrics import Metrics


@pytest.mark.parametrize(
    ("end", "result", "errors"),
    [
        (None, "ok", 0),
        (ApiError(422, "no"), "refused", 1),
        (ApiError(0, "away"), "failed", 1),
        (KeyError(), "failed", 1),
    ],
    ids=["ok", "refused", "API server away", "fault"],
)
async def test_a_reconciliation_is_counted_by_its_end_and_its_error_goes_on(end, result, errors):
    async def reconcile(_: Key) -> None:
        if end:
            raise end

    metrics = Metrics()
    try:
        await metrics.counted(reconcile)(ModelKey("team", "m"))
    except (ApiError, KeyError) as error:
        assert error is end  # noqa: PT017  # the other case raises nothing
    else:
        assert end is None
    lines = metrics.render().decode().splitlines()
    assert f'fastchat_operator_reconciles_total{{result="{result}"}} 1.0' in lines
    assert f"fastchat_operator_reconcile_errors_total {errors}.0" in lines
