"""The money of a user, how it is traded, and what is followed."""

from decimal import Decimal

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from learning.choice import ModelChoice
from market.models import Symbol
from trading.models.amounts import fraction_column, money_column

# The keys of engine.terms.RISK_PER_TRADE, which would load numpy into every command.
RISK_LEVELS = ("low", "medium", "high")


class Mode(models.TextChoices):
    PAPER = "PAPER"
    LIVE = "LIVE"


class Account(models.Model):
    """The money of one user in one mode. Every change of it happens under a lock on this row.

    `equity` is the cash and the open positions at their last marks; `sessions` counts its session records.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="accounts")
    mode = models.CharField(max_length=5, choices=Mode, default=Mode.PAPER)
    initial_balance = money_column()
    cash = money_column()
    realised = money_column(default=Decimal(0))
    commissions = money_column(default=Decimal(0))
    equity = money_column()
    peak_equity = money_column()
    day_start_equity = money_column()
    day = models.DateField(null=True)
    entries_today = models.PositiveIntegerField(default=0)
    sessions = models.PositiveBigIntegerField(default=0)
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

    `symbol` is used where a request names none. `prediction_horizon` (candles ahead) and `history_length`
    (the newest candles, null for all) select the model. A candle of a replay takes at least `replay_seconds`.
    With `rule_based_fallback` rules decide while no model can be used.
    """

    class Status(models.TextChoices):
        RUNNING = "running"
        PAUSED = "paused"
        STOPPED = "stopped"

    # The markets of a paused account are monitored; nothing is decided.
    WATCHING = (Status.RUNNING, Status.PAUSED)

    account = models.OneToOneField(Account, on_delete=models.CASCADE, related_name="settings")
    status = models.CharField(max_length=7, choices=Status, default=Status.STOPPED)
    interval = models.CharField(max_length=3, default="1h")
    model_type = models.CharField(max_length=20, default="random_forest")
    confidence_threshold = models.DecimalField(
        max_digits=5, decimal_places=4, default=Decimal("0.5"), validators=[MinValueValidator(0), MaxValueValidator(1)]
    )
    risk_level = models.CharField(max_length=6, default="medium", choices=[(level, level) for level in RISK_LEVELS])
    max_position = fraction_column("0.5")
    stop_loss = fraction_column("0.05", null=True, blank=True)
    take_profit = fraction_column("0.1", null=True, blank=True)
    trailing_stop = fraction_column("", null=True, blank=True)
    max_exposure = fraction_column("", null=True, blank=True)
    max_daily_loss = fraction_column("0.05", null=True, blank=True)
    max_drawdown = fraction_column("0.25", null=True, blank=True)
    max_entries_per_day = models.PositiveIntegerField(null=True, blank=True)
    max_open_positions = models.PositiveIntegerField(null=True, blank=True)
    max_quote_age_seconds = models.PositiveIntegerField(null=True, blank=True)
    kill_switch = models.BooleanField(default=False)
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    prediction_horizon = models.PositiveSmallIntegerField(default=5)
    history_length = models.PositiveIntegerField(null=True, blank=True)
    replay_seconds = models.FloatField(default=0.0)
    rule_based_fallback = models.BooleanField(default=True)
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
    """An account trades a symbol, or only shows it (not `is_active`). Unfollowing deletes this row and no other."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="follows")
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="follows")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "symbol"], name="trading_follow_is_unique")]

    def __str__(self) -> str:
        return f"{self.account} follows {self.symbol}"
