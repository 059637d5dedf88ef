"""Everything that follows from a decision. Constraints forbid invalid states: see each Meta."""

from decimal import Decimal

from django.db import models
from django.db.models import Q
from django.utils import timezone

from market.models import Symbol
from trading.models.accounts import Account
from trading.models.amounts import money_column, quantity_column
from trading.models.messages import Message


class Decision(models.Model):
    """The decision of one account at the close of one candle, and its outcome."""

    class Status(models.TextChoices):
        PENDING = "pending"
        EXECUTED = "executed"
        SKIPPED = "skipped"
        REJECTED = "rejected"
        FAILED = "failed"

    account = models.ForeignKey(Account, on_delete=models.CASCADE, db_index=False, related_name="decisions")
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="decisions")
    interval = models.CharField(max_length=3)
    close_time = models.DateTimeField()
    snapshot = models.ForeignKey(Message, on_delete=models.PROTECT, related_name="decisions")
    action = models.CharField(max_length=4, choices=[(name, name) for name in ("BUY", "SELL", "HOLD")])
    confidence = models.FloatField()
    risk_score = models.FloatField()
    quantity = quantity_column()
    price = models.FloatField()
    reasoning = models.TextField()
    model_type = models.CharField(max_length=20)
    model_version = models.CharField(max_length=64)
    explanation = models.JSONField(default=dict)
    status = models.CharField(max_length=8, choices=Status, default=Status.PENDING)
    reason_code = models.CharField(max_length=20, blank=True)
    executed_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            # What lists filter and statistics group by: they count without reading the rows.
            models.Index(
                fields=["account", "-created_at", "-id", "action", "status", "reason_code"],
                name="trading_decision_newest",
            ),
            models.Index(fields=["account", "symbol", "-created_at"], name="trading_decision_symbol"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["account", "snapshot"], name="trading_decision_once_per_snapshot"),
            models.CheckConstraint(
                condition=Q(confidence__gte=0, confidence__lte=1, risk_score__gte=0, risk_score__lte=1),
                name="trading_decision_shares_are_fractions",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.symbol} at {self.close_time:%Y-%m-%d %H:%M}"


class Order(models.Model):
    """An intent that passed the gate. The client id is a function of its cause, so it is placed once."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="orders")
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="orders")
    decision = models.OneToOneField(Decision, on_delete=models.PROTECT, null=True, related_name="order")
    client_order_id = models.CharField(max_length=36, unique=True)
    action = models.CharField(max_length=4, choices=[(name, name) for name in ("BUY", "SELL")])
    quantity = quantity_column()
    requested_price = quantity_column()
    reason = models.CharField(max_length=13)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(quantity__gt=0, requested_price__gt=0), name="trading_order_is_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.quantity} {self.symbol} at {self.requested_price}"


class Trade(models.Model):
    """An order that was filled. `slippage` is per unit; `pnl` is net of both commissions and null for a BUY."""

    order = models.OneToOneField(Order, on_delete=models.PROTECT, related_name="trade")
    account = models.ForeignKey(Account, on_delete=models.CASCADE, db_index=False, related_name="trades")
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="trades")
    action = models.CharField(max_length=4, choices=[(name, name) for name in ("BUY", "SELL")])
    quantity = quantity_column()
    price = quantity_column()
    slippage = quantity_column()
    amount = money_column()
    commission = money_column()
    pnl = money_column(null=True)
    cost = money_column(null=True)
    timestamp = models.DateTimeField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            models.Index(fields=["account", "-timestamp", "-id", "action"], name="trading_trade_newest"),
            models.Index(fields=["account", "symbol", "-timestamp"], name="trading_trade_symbol"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(quantity__gt=0, price__gt=0, slippage__gte=0, amount__gte=0, commission__gte=0),
                name="trading_trade_is_positive",
            ),
            models.CheckConstraint(
                condition=Q(action="BUY", pnl__isnull=True) | Q(action="SELL", pnl__isnull=False),
                name="trading_trade_sales_have_a_profit",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.quantity} {self.symbol} at {self.price}"


class Position(models.Model):
    """What an account holds or held of a symbol: a closed position keeps its history with a quantity of zero.

    `pnl` is the profit of its sales so far, and `sold_cost` the entry cost of what they sold.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, db_index=False, related_name="positions")
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="positions")
    quantity = quantity_column()
    cost = money_column()
    entry_price = quantity_column()
    mark = models.FloatField()
    stop_loss = quantity_column(null=True)
    take_profit = quantity_column(null=True)
    trailing = models.FloatField(null=True)
    high = models.FloatField()
    pnl = money_column(default=Decimal(0))
    sold_cost = money_column(default=Decimal(0))
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["account", "-opened_at", "-id", "closed_at"], name="trading_position_newest")]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "symbol"], condition=Q(closed_at__isnull=True), name="trading_position_one_open"
            ),
            models.CheckConstraint(
                condition=Q(closed_at__isnull=True, quantity__gt=0) | Q(closed_at__isnull=False, quantity=0),
                name="trading_position_open_or_empty",
            ),
            models.CheckConstraint(condition=Q(cost__gte=0, entry_price__gt=0), name="trading_position_is_long"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} {self.symbol}"


class CashEntry(models.Model):
    """The cash journal: every change of an account's cash, with the balance after it."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, db_index=False, related_name="cash_entries")
    trade = models.OneToOneField(Trade, on_delete=models.PROTECT, null=True, related_name="cash_entry")
    amount = money_column()
    balance = money_column()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "cash entries"
        indexes = [models.Index(fields=["account", "-id"], name="trading_cash_entry_latest")]
        constraints = [models.CheckConstraint(condition=Q(balance__gte=0), name="trading_cash_is_not_negative")]

    def __str__(self) -> str:
        return f"{self.amount} -> {self.balance}"


class EquityPoint(models.Model):
    """An account valued at one moment of the market."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, db_index=False, related_name="equity_points")
    time = models.DateTimeField()
    balance = money_column()
    equity = money_column()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "time"], name="trading_equity_point_is_unique")]

    def __str__(self) -> str:
        return f"{self.time:%Y-%m-%d %H:%M} {self.equity}"


class SessionRecord(models.Model):
    """What was handled for an account in one transaction, in order. `number` counts the records of the account.

    Each step is a list: close, decide, open or manual; the symbol; the interval; the close of its candle.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, db_index=False, related_name="session_records")
    number = models.PositiveBigIntegerField()
    steps = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "number"], name="trading_session_record_is_unique")]

    def __str__(self) -> str:
        return f"record {self.number}: {len(self.steps)} steps"
