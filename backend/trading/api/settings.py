"""/api/trading/settings/: how the account trades. MDs/API_AGENTS.md gives the effect of every key."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from engine.candles import INTERVALS
from learning.training.recipes import Algorithm
from trading.api.base import AccountView
from trading.api.inputs import StrictNumberField, TextField, TrueOrFalseField, WholeNumberField
from trading.books.preferences import AlreadyTraded, NotFollowed, change_settings
from trading.models import RISK_LEVELS, TradingSettings
from trading.selectors.settings import FIXED, settings_of
from web.errors import Conflict
from web.fields import checked

LONGEST_PACE_SECONDS = 3600
LARGEST_BALANCE = 1_000_000_000
LONGEST_HORIZON = 100
SHORTEST_HISTORY, LONGEST_HISTORY = 100, 100_000
MOST = 10_000
MOST_SECONDS = 366 * 24 * 60 * 60


class FractionField(StrictNumberField):
    """A fraction with four places: 0.05 is 5 %."""

    def __init__(self, lowest: str = "0.0001", highest: str = "1", **options: Any) -> None:
        super().__init__(4, lowest, highest, **options)


class OptionalCount(WholeNumberField):
    def __init__(self, lowest: int = 0, highest: int = MOST, **options: Any) -> None:
        super().__init__(lowest, highest, allow_null=True, **options)


class SettingsSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(
        choices=TradingSettings.Status.values,
        help_text="paused: markets are monitored, nothing is decided; stopped: only open positions are protected.",
    )
    speed = StrictNumberField(
        3, "0", str(LONGEST_PACE_SECONDS), help_text="Minimum seconds for each candle of a replay; 0 for no minimum."
    )
    symbol = TextField(max_length=40, help_text="A followed symbol: the default of requests that name none.")
    timeframe = serializers.ChoiceField(choices=list(INTERVALS))
    dataProvider = serializers.ChoiceField(
        choices=[FIXED["dataProvider"]],
        help_text="auto: the symbol's CSV file if there is one, else the source of its kind.",
    )
    historyLength = OptionalCount(
        SHORTEST_HISTORY,
        LONGEST_HISTORY,
        help_text="Number of newest candles used for training; null for all, up to 100,000.",
    )
    modelType = serializers.ChoiceField(choices=[algorithm.value for algorithm in Algorithm])
    predictionHorizon = WholeNumberField(1, LONGEST_HORIZON, help_text="Candles between the prediction and its target.")
    confidenceThreshold = FractionField("0")
    initialBalance = StrictNumberField(
        2, "1", str(LARGEST_BALANCE), help_text="Can change until the first order; 409 afterwards."
    )
    maxPositionSize = FractionField(help_text="Of the equity.")
    riskLevel = serializers.ChoiceField(choices=RISK_LEVELS)
    stopLoss = FractionField(highest="0.9999", allow_null=True, help_text="Below the entry price; null for none.")
    takeProfit = FractionField(allow_null=True, help_text="Above the entry price; null for none.")
    maxLeverage = WholeNumberField(1, 1, help_text="Only 1: no leverage.")
    trailingStop = FractionField(highest="0.9999", allow_null=True, help_text="Below the highest price; null for none.")
    maxExposure = FractionField(
        allow_null=True, help_text="The value of all open positions, as a fraction of equity; null for no limit."
    )
    maxDailyLoss = FractionField(
        allow_null=True, help_text="Of the equity at the start of the day; no entries beyond it."
    )
    maxDrawdown = FractionField(allow_null=True, help_text="From the highest equity; no entries beyond it.")
    maxEntriesPerDay = OptionalCount()
    maxOpenPositions = OptionalCount()
    maxQuoteAgeSeconds = OptionalCount(highest=MOST_SECONDS, help_text="Entries at an older price are refused.")
    killSwitch = TrueOrFalseField(help_text="Stops entries immediately; exits are still executed.")
    ruleBasedFallback = TrueOrFalseField(
        help_text="Whether rules (trend, RSI, MACD) decide while no model is available; otherwise nothing is decided."
    )
    updatedAt = serializers.DateTimeField(read_only=True)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (unknown := sorted(set(data) - _writable(self))):
            raise ValidationError({str(name)[:100]: ["There is no such setting."] for name in unknown[:10]})
        return super().to_internal_value(data)


def _writable(serializer: serializers.Serializer[Any]) -> set[str]:
    return {name for name, field in serializer.fields.items() if not field.read_only}


class SettingsView(AccountView):
    error_statuses = (404, 409)

    @extend_schema(responses=SettingsSerializer)
    def get(self, request: Request) -> Response:
        """The settings of the account. Percentages are fractions: 0.05 is 5 %."""
        return self._answer()

    @extend_schema(request=SettingsSerializer, responses=SettingsSerializer)
    def put(self, request: Request) -> Response:
        """Replace all settings; every key is required."""
        return self._change(request, partial=False)

    @extend_schema(request=SettingsSerializer, responses=SettingsSerializer)
    def patch(self, request: Request) -> Response:
        """Change the given settings, all or none of them."""
        return self._change(request, partial=True)

    def _change(self, request: Request, partial: bool) -> Response:
        changes = checked(SettingsSerializer(data=request.data, partial=partial))
        try:
            change_settings(self.account, changes)
        except NotFollowed as error:
            raise ValidationError({"symbol": ["Follow the symbol first."]}) from error
        except AlreadyTraded as error:
            raise Conflict(
                "The account has traded: its initial balance can no longer change.", "already_traded"
            ) from error
        return self._answer()

    def _answer(self) -> Response:
        return Response(SettingsSerializer(settings_of(self.account.pk)).data)
