"""What an account is worth."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Count, FilteredRelation, Q

from engine.orders import ZERO, exact
from trading.models import Account, Trade
from trading.selectors.money import total

# The places of a column of money. Not fewer: what is shown adds up to the last digit.
SMALLEST = Decimal("1e-8")


@dataclass(frozen=True, slots=True)
class Value:
    """An account at the last marks of its positions. `used` is what the open positions have cost."""

    initial: Decimal
    cash: Decimal
    used: Decimal
    market_value: Decimal

    @property
    def balance(self) -> Decimal:
        return self.cash + self.used

    @property
    def equity(self) -> Decimal:
        return self.cash + self.market_value

    @property
    def unrealised(self) -> Decimal:
        return self.market_value - self.used

    @property
    def realised(self) -> Decimal:
        """By the identity of the ledger: initial cash + realised profit = cash + entry cost of the open positions."""
        return self.balance - self.initial


@dataclass(frozen=True, slots=True)
class Activity:
    """Trades, and what the sales among them have earned, net of commissions."""

    trades: int
    pnl: Decimal


def worth(quantity: Decimal, mark: float) -> Decimal:
    return (quantity * exact(mark)).quantize(SMALLEST)


def value_of(account: Account) -> Value:
    """In one statement: cash and positions read one after the other would show a trade in between only by half."""
    held = FilteredRelation("positions", condition=Q(positions__closed_at__isnull=True))
    rows = Account.objects.filter(pk=account.pk).annotate(held=held)
    columns = ("initial_balance", "cash", "held__quantity", "held__cost", "held__mark")
    found = list(rows.values_list(*columns))
    positions = [row[2:] for row in found if row[2] is not None]
    return Value(
        initial=found[0][0],
        cash=found[0][1],
        used=sum((cost for _, cost, _ in positions), ZERO),
        market_value=sum((worth(quantity, mark) for quantity, _, mark in positions), ZERO),
    )


def activity(account: Account, since: datetime) -> Activity:
    trades = Trade.objects.filter(account=account.pk, timestamp__gte=since)
    return Activity(**trades.aggregate(trades=Count("pk"), pnl=total("pnl")))
