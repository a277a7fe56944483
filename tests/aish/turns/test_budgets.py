"""Amounts of budgets, as the shell prints them."""

from __future__ import annotations

import pytest

from aish.turns.budgets import described


@pytest.mark.parametrize(
    ("limit", "spent", "value", "text"),
    [
        ("tokens_per_day", 900, 1000, "900 of 1,000 tokens per day"),
        ("usd_per_day", "0", "0.5", "$0.00 of $0.50 per day"),
        ("usd_per_month", "12.500", "5000", "$12.50 of $5,000.00 per month"),
        ("usd_per_month", "0.000125", "0.0100", "$0.000125 of $0.01 per month"),
    ],
)
def test_an_amount_of_dollars_has_cents_as_in_the_question_of_the_hub(
    limit: str, spent: int | str, value: int | str, text: str
) -> None:
    assert described({"limit": limit, "spent": spent, "value": value}, "spent") == text
