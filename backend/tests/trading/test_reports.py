"""The payloads of EXECUTION_REPORT messages, against the specification's sample."""

from typing import Any

import pytest

from tests.trading.api.books import Book
from trading.models import Decision, Message

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_passwords", "unthrottled")]

WITHOUT_FILL = {"quantity": 0, "requested_price": None, "executed_price": None, "commission": 0, "slippage": 0}


def last_report() -> dict[str, Any]:
    return Message.objects.filter(type="EXECUTION_REPORT").latest("pk").payload


def test_a_fill_has_the_figures_of_the_specification(monkeypatch: pytest.MonkeyPatch):
    book = Book(monkeypatch, [88500.0, 88500.0])
    settings = {"initialBalance": 200_000, "maxPositionSize": 1}
    assert book.client.patch("/api/trading/settings/", settings).status_code == 200
    book.play()
    assert book.order("BUY", 1, key="one").status_code == 200
    message = Message.objects.get(type="EXECUTION_REPORT", key__startswith="by-hand:")
    trade = message.account.trades.get()
    assert message.payload == {
        "status": "executed",
        "order_id": trade.order.client_order_id,
        "ticker": "BTCUSDT",
        "action": "BUY",
        "quantity": 1,
        "requested_price": 88500.00,
        "executed_price": 88588.50,
        "commission": 88.59,
        "slippage": 88.50,
        "timestamp": trade.timestamp.isoformat().replace("+00:00", "Z"),
        "message": "Trade executed successfully",
        "reason_code": "manual",
    }


@pytest.mark.parametrize(
    ("signal", "limits", "status", "code", "message"),
    [
        (".", {}, "skipped", "hold", "HOLD asks for no trade"),
        ("S", {}, "skipped", "no_position", "there is no BTCUSDT to sell"),
        ("B", {"kill_switch": True}, "rejected", "kill_switch", "the kill switch is on: no entries"),
        ("B", {"max_open_positions": 0}, "rejected", "open_positions", "0 positions are open; at most 0"),
    ],
)
def test_nothing_to_do_is_skipped_and_a_limit_rejects(
    monkeypatch: pytest.MonkeyPatch, signal: str, limits: dict[str, Any], status: str, code: str, message: str
):
    book = Book(monkeypatch, [100.0, 100.0], signal, **limits)
    book.play()
    decision = Decision.objects.get()
    report = last_report()
    assert report.pop("timestamp").endswith("Z")
    assert report == {
        "status": status,
        "order_id": f"decision-{decision.pk}",
        "ticker": "BTCUSDT",
        "action": decision.action,
        **WITHOUT_FILL,
        "message": message,
        "reason_code": code,
    }
    assert (decision.status, decision.reason_code) == (status, code)


def test_an_entry_beside_an_open_position_is_skipped(monkeypatch: pytest.MonkeyPatch):
    book = Book(monkeypatch, [100.0, 100.0, 100.0], "BB", stop_loss=None, take_profit=None)
    book.play()
    assert (last_report()["status"], last_report()["reason_code"]) == ("executed", "signal")
    book.play()
    assert (last_report()["status"], last_report()["reason_code"]) == ("skipped", "position_open")
