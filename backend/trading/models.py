"""Accounts, the Message table, and everything that comes of a decision.

Money and quantities are Decimals with more places than any instrument uses, so a column never rounds. What must not
happen is forbidden by constraints: see each Meta.
"""

import uuid
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from learning.choice import ModelChoice
from market.models import Symbol

# The keys of engine.decide.RISK_PER_TRADE, which would load numpy into every command.
RISK_LEVELS = ("low", "medium", "high")


def _money(**options: Any) -> Any:
    return models.DecimalField(max_digits=28, decimal_places=8, **options)


def _quantity(**options: Any) -> Any:
    return models.DecimalField(max_digits=30, decimal_places=12, **options)


def _fraction(default: str, **options: Any) -> Any:
    bounds = [MinValueValidator(Decimal("0.0001")), MaxValueValidator(1)]
    return models.DecimalField(
        max_digits=6, decimal_places=4, default=Decimal(default) if default else None, validators=bounds, **options
    )


class Mode(models.TextChoices):
    PAPER = "PAPER"
    LIVE = "LIVE"


class Account(models.Model):
    """The money of one user in one mode. Every change of it happens under a lock on this row."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="accounts")
    mode = models.CharField(max_length=5, choices=Mode, default=Mode.PAPER)
    initial_balance = _money()
    cash = _money()
    realised = _money(default=Decimal(0))
    commissions = _money(default=Decimal(0))
    equity = _money()
    peak_equity = _money()
    day_start_equity = _money()
    day = models.DateField(null=True)
    entries_today = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "mode"], name="trading_account_one_per_mode"),
            models.CheckConstraint(condition=Q(cash__gte=0), name="trading_account_cash_is_not_negative"),
            models.CheckConstraint(condition=Q(initial_balance__gt=0), name="trading_account_starts_with_money"),
        ]

    def __str__(self) -> str:
        return f"{self.user} {self.mode}"


class TradingSettings(models.Model):
    """How an account trades. Fractions are of equity or price; null switches a limit off.

    `symbol` is the one that is meant where none is named. `prediction_horizon` (candles ahead) and `history_length`
    (the newest candles, null for all) say which model decides. A candle of a replay takes at least `replay_seconds`.
    """

    class Status(models.TextChoices):
        RUNNING = "running"
        PAUSED = "paused"
        STOPPED = "stopped"

    # A paused account goes on watching its markets and decides nothing.
    WATCHING = (Status.RUNNING, Status.PAUSED)

    account = models.OneToOneField(Account, on_delete=models.CASCADE, related_name="settings")
    status = models.CharField(max_length=7, choices=Status, default=Status.STOPPED)
    interval = models.CharField(max_length=3, default="1h")
    model_type = models.CharField(max_length=20, default="random_forest")
    confidence_threshold = models.DecimalField(
        max_digits=5, decimal_places=4, default=Decimal("0.5"), validators=[MinValueValidator(0), MaxValueValidator(1)]
    )
    risk_level = models.CharField(max_length=6, default="medium", choices=[(level, level) for level in RISK_LEVELS])
    max_position = _fraction("0.5")
    stop_loss = _fraction("0.05", null=True, blank=True)
    take_profit = _fraction("0.1", null=True, blank=True)
    trailing_stop = _fraction("", null=True, blank=True)
    max_daily_loss = _fraction("0.05", null=True, blank=True)
    max_drawdown = _fraction("0.25", null=True, blank=True)
    max_entries_per_day = models.PositiveIntegerField(null=True, blank=True)
    max_open_positions = models.PositiveIntegerField(null=True, blank=True)
    max_quote_age_seconds = models.PositiveIntegerField(null=True, blank=True)
    kill_switch = models.BooleanField(default=False)
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    prediction_horizon = models.PositiveSmallIntegerField(default=5)
    history_length = models.PositiveIntegerField(null=True, blank=True)
    replay_seconds = models.FloatField(default=0.0)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "trading settings"

    @property
    def model_name(self) -> str:
        """The name of the model that decides (`learning.choice.ModelChoice`)."""
        return str(ModelChoice(self.model_type, self.prediction_horizon, self.history_length))

    def __str__(self) -> str:
        return f"settings of {self.account}"


class Follow(models.Model):
    """An account trades a symbol, or only looks at it (not `is_active`). Unfollowing deletes this row and no other."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="follows")
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="follows")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "symbol"], name="trading_follow_is_unique")]

    def __str__(self) -> str:
        return f"{self.account} follows {self.symbol}"


class RefreshRequest(models.Model):
    """Somebody asked the Market Monitor to look at a market now. Rows of one request share a `task_id`."""

    task_id = models.UUIDField()
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="refresh_requests")
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="+")
    interval = models.CharField(max_length=3)
    requested_at = models.DateTimeField(default=timezone.now)
    looked_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            # What `trading.refresh` looks for in every round.
            models.Index(
                fields=["symbol", "interval"], name="trading_refresh_waiting", condition=Q(looked_at__isnull=True)
            ),
        ]
        constraints = [models.UniqueConstraint(fields=["task_id", "symbol"], name="trading_refresh_is_unique")]

    def __str__(self) -> str:
        return f"look at {self.symbol} {self.interval}"


class AgentType(models.TextChoices):
    MARKET_MONITOR = "MARKET_MONITOR"
    DECISION_MAKER = "DECISION_MAKER"
    EXECUTION = "EXECUTION"


class Message(models.Model):
    """A fact that one agent tells another. Only the delivery columns change: those from `processed_at` on."""

    class Type(models.TextChoices):
        MARKET_SNAPSHOT = "MARKET_SNAPSHOT"
        TRADE_DECISION = "TRADE_DECISION"
        EXECUTION_REPORT = "EXECUTION_REPORT"

    key = models.CharField(max_length=64, unique=True)
    type = models.CharField(max_length=16, choices=Type)
    sender = models.CharField(max_length=14, choices=AgentType)
    recipient = models.CharField(max_length=14, choices=AgentType, blank=True)
    payload = models.JSONField()
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="+")
    interval = models.CharField(max_length=3)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, null=True, related_name="messages")
    caused_by = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="effects")
    correlation_id = models.UUIDField(default=uuid.uuid4)
    created_at = models.DateTimeField(default=timezone.now)
    processed_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    available_at = models.DateTimeField(default=timezone.now)
    parked_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)

    class Meta:
        indexes = [
            # What `agents.integration` claims from: the messages that wait, in order.
            models.Index(
                fields=["recipient", "id"],
                name="trading_message_waiting",
                condition=Q(processed_at__isnull=True, parked_at__isnull=True),
            ),
            models.Index(
                fields=["symbol", "interval", "id"],
                name="trading_message_stream",
                condition=Q(processed_at__isnull=True, parked_at__isnull=True),
            ),
            models.Index(fields=["account", "-id"], name="trading_message_account"),
            models.Index(fields=["symbol", "type", "-id"], name="trading_message_symbol"),
            models.Index(fields=["correlation_id"], name="trading_message_cycle"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(processed_at__isnull=True) | Q(parked_at__isnull=True),
                name="trading_message_is_processed_or_parked",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.pk} {self.symbol}"


class Decision(models.Model):
    """What was decided for one account at the close of one candle, and what became of it."""

    class Status(models.TextChoices):
        PENDING = "pending"
        EXECUTED = "executed"
        SKIPPED = "skipped"
        REJECTED = "rejected"
        FAILED = "failed"

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="decisions")
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="decisions")
    interval = models.CharField(max_length=3)
    close_time = models.DateTimeField()
    snapshot = models.ForeignKey(Message, on_delete=models.PROTECT, related_name="decisions")
    action = models.CharField(max_length=4, choices=[(name, name) for name in ("BUY", "SELL", "HOLD")])
    confidence = models.FloatField()
    risk_score = models.FloatField()
    quantity = models.FloatField()
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
            models.Index(fields=["account", "-created_at", "-id"], name="trading_decision_latest"),
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
    quantity = _quantity()
    requested_price = _quantity()
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
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="trades")
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="trades")
    action = models.CharField(max_length=4, choices=[(name, name) for name in ("BUY", "SELL")])
    quantity = _quantity()
    price = _quantity()
    slippage = _quantity()
    amount = _money()
    commission = _money()
    pnl = _money(null=True)
    cost = _money(null=True)
    timestamp = models.DateTimeField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            models.Index(fields=["account", "-timestamp", "-id"], name="trading_trade_latest"),
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
    """What an account holds of a symbol, or held: a closed position keeps its history with a quantity of zero.

    `pnl` is what its sales have earned so far, and `sold_cost` what had been paid for the part that they sold.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="positions")
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="positions")
    quantity = _quantity()
    cost = _money()
    entry_price = _quantity()
    mark = models.FloatField()
    stop_loss = _quantity(null=True)
    take_profit = _quantity(null=True)
    trailing = models.FloatField(null=True)
    high = models.FloatField()
    pnl = _money(default=Decimal(0))
    sold_cost = _money(default=Decimal(0))
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["account", "-opened_at"], name="trading_position_latest")]
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


class IdempotentAnswer(models.Model):
    """What an order of a client was answered with. Written with the trade, so that a repeated request meets it."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    body = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "key"], name="trading_answer_once_per_key")]

    def __str__(self) -> str:
        return self.key


class CashEntry(models.Model):
    """The cash journal: every change of an account's cash, with the balance after it."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="cash_entries")
    trade = models.OneToOneField(Trade, on_delete=models.PROTECT, null=True, related_name="cash_entry")
    amount = _money()
    balance = _money()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "cash entries"
        indexes = [models.Index(fields=["account", "-id"], name="trading_cash_entry_latest")]
        constraints = [models.CheckConstraint(condition=Q(balance__gte=0), name="trading_cash_is_not_negative")]

    def __str__(self) -> str:
        return f"{self.amount} -> {self.balance}"


class EquityPoint(models.Model):
    """An account valued at one moment of the market."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="equity_points")
    time = models.DateTimeField()
    balance = _money()
    equity = _money()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "time"], name="trading_equity_point_is_unique")]

    def __str__(self) -> str:
        return f"{self.time:%Y-%m-%d %H:%M} {self.equity}"


class AgentState(models.Model):
    """How one agent of one user is doing."""

    class Status(models.TextChoices):
        RUNNING = "RUNNING"
        STOPPED = "STOPPED"
        ERROR = "ERROR"
        IDLE = "IDLE"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="agent_states")
    agent_type = models.CharField(max_length=14, choices=AgentType)
    status = models.CharField(max_length=7, choices=Status, default=Status.STOPPED)
    last_activity = models.DateTimeField(null=True)
    error_message = models.TextField(blank=True)
    metadata = models.JSONField(default=dict)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "agent_type"], name="trading_agent_state_is_unique")]

    def __str__(self) -> str:
        return f"{self.agent_type} of {self.user}: {self.status}"


class AgentLog(models.Model):
    """A line for people about what an agent did."""

    class Level(models.TextChoices):
        INFO = "INFO"
        WARNING = "WARNING"
        ERROR = "ERROR"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="agent_logs")
    agent_type = models.CharField(max_length=14, choices=AgentType)
    level = models.CharField(max_length=7, choices=Level, default=Level.INFO)
    message = models.TextField()
    correlation_id = models.UUIDField(null=True)
    timestamp = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["user", "agent_type", "-id"], name="trading_agent_log_latest")]

    def __str__(self) -> str:
        return self.message
