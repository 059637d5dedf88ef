"""The audit finds what is wrong, and names it."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.kept import Rows, made_once
from tests.trading.markets import play_real_candles
from trading.books.audit import differences
from trading.models import Account, CashEntry, Decision, Message, Position, Trade

pytestmark = pytest.mark.django_db

ROWS: Rows = {}


@pytest.fixture
def traded(real_data: Path) -> Account:
    made_once(ROWS, lambda: _play(real_data))
    return Account.objects.get()


def _play(real_data: Path) -> None:
    account = play_real_candles(real_data, history=100, played=40)
    assert Trade.objects.filter(account=account, action="SELL").count() > 2


def found() -> list[str]:
    return list(differences(Account.objects.all()))


def test_books_that_add_up_give_nothing(traded: Account) -> None:
    assert found() == []


def more_cash(account: Account) -> None:
    Account.objects.filter(pk=account.pk).update(cash=account.initial_balance + 1)


def other_profit(account: Account) -> None:
    Trade.objects.filter(pk=Trade.objects.filter(action="SELL").first().pk).update(pnl=1)


def lost_entry(account: Account) -> None:
    CashEntry.objects.filter(trade__action="BUY").first().delete()


def invented_position(account: Account) -> None:
    position = Position.objects.filter(account=account).first()
    position.pk, position.closed_at, position.quantity, position.cost = None, None, Decimal(5), Decimal(1)
    Position.objects.filter(account=account, closed_at=None).update(closed_at=timezone.now(), quantity=0)
    position.save()


def unreported_decision(account: Account) -> None:
    Message.objects.filter(type=Message.Type.EXECUTION_REPORT, caused_by__type="TRADE_DECISION").first().delete()


def another_outcome(account: Account) -> None:
    Decision.objects.filter(pk=Decision.objects.filter(status="executed").first().pk).update(status="rejected")


def forgotten_decision(account: Account) -> None:
    Decision.objects.filter(pk=Decision.objects.filter(status="skipped").first().pk).update(status="pending")


def left_behind(account: Account) -> None:
    Message.objects.filter(pk=Message.objects.first().pk).update(processed_at=None)


def parked(account: Account) -> None:
    first = Message.objects.first().pk
    Message.objects.filter(pk=first).update(processed_at=None, parked_at=timezone.now(), error="ValueError: bad")


FORGERIES: list[tuple[Callable[[Account], None], str]] = [
    (more_cash, "cash is stored as 10001"),
    (other_profit, "pnl of trade"),
    (lost_entry, "has no cash entry"),
    (invented_position, "BTCUSDT"),
    (unreported_decision, "was reported as nothing"),
    (another_outcome, "is rejected, and was reported as executed"),
    (forgotten_decision, "has no outcome"),
    (left_behind, "was left behind"),
    (parked, "is parked: ValueError: bad"),
]


@pytest.mark.parametrize(("forge", "named"), FORGERIES, ids=[forge.__name__ for forge, _ in FORGERIES])
def test_what_does_not_add_up_is_named(traded: Account, forge: Callable[[Account], None], named: str) -> None:
    forge(traded)
    assert any(named in line for line in found()), found()


def test_the_command_fails_and_prints_each_difference(traded: Account, capsys: pytest.CaptureFixture[str]) -> None:
    more_cash(traded)
    with pytest.raises(CommandError, match="2 differences"):
        call_command("audit")
    assert capsys.readouterr().out.count("cash") == 2


@pytest.mark.parametrize("command", ["audit", "test_agents", "long_term_test", "start_auto_trading", "monitor_agents"])
def test_an_unknown_e_mail_is_one_clear_line(command: str) -> None:
    options = {"symbol": "GOOG"} if command in ("test_agents", "long_term_test") else {}
    options |= {"duration": 1.0} if command == "long_term_test" else {}
    with pytest.raises(CommandError, match=r"^there is no user with the e-mail nobody@example.com; \./photon"):
        call_command(command, email="nobody@example.com", **options)
