"""The rows of a list are written from columns: each is what the serializer makes of the row, to the last digit."""

from decimal import Decimal

import pytest

from tests.trading.api.books import Book, make_decision, make_trade
from trading.models import Message, Position

LISTS = ["decisions", "trades", "positions", "messages", "market-data"]


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch, db, quick_passwords, unthrottled) -> Book:
    """A book with closed and open positions, trades of agents and by hand, and a parked message."""
    book = Book(monkeypatch, [110.0, 99.0, 120.125, 120.0, 121.0], "BS.B", stop_loss="0.05", take_profit="0.1")
    book.play(4)
    assert book.order("BUY", "0.12345678").status_code == 200
    make_decision(book.account, confidence=0.12345, explanation={"probabilities": None})
    make_decision(book.account, explanation={})
    make_trade(book.account, "SELL", pnl=Decimal("-0.01234567"), price=Decimal("0.000001230000"))
    Message.objects.filter(pk=Message.objects.first().pk).update(processed_at=None, parked_at="2026-03-02T12:00:00.5Z")
    assert Position.objects.filter(closed_at=None).exists()
    assert Position.objects.exclude(closed_at=None).exists()
    return book


@pytest.mark.parametrize("name", LISTS)
def test_a_row_of_a_list_is_the_row_alone(full: Book, name: str) -> None:
    listed = full.get(f"{name}/", limit=500)["results"]
    assert len(listed) > 1
    for row in listed:
        alone = full.get(f"{name}/{row['id']}/")
        if name == "market-data":
            assert alone.pop("age_seconds") >= row.pop("age_seconds")
        if name == "decisions":
            # What made a decision is long, and told of one at a time.
            alone["metadata"].pop("explanation")
        assert row == alone
