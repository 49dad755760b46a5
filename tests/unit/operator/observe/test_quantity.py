from decimal import Decimal

import pytest

from fastchat_operator.observe.quantity import amount


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("1000m", "1"), ("4", "4"), ("0.1", "0.1"), (".5", "0.5"), ("5.", "5"), ("-1", "-1"), ("+2", "2")),
        *(("1k", "1000"), ("1M", "1e6"), ("1Gi", "1073741824"), ("1.5Gi", "1610612736"), ("1Ki", "1024")),
        *(("1e3", "1000"), ("1E3", "1000"), ("1E", "1e18"), ("1e-3", "0.001"), ("1n", "1e-9"), ("1u", "1e-6")),
    ],
)
def test_an_amount_is_what_kubernetes_takes_it_for(text: str, number: str) -> None:
    assert amount(text) == Decimal(number)


@pytest.mark.parametrize(
    "text", ["", "Gi", "1 Gi", "1ki", "1mi", "1K", "1GB", "1e1000000000", "NaN", "Infinity", "1\n"]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        amount(text)
