"""The settings of an account, by the names that the API gives them."""

from typing import Any

from django.conf import settings as platform

from trading.models import TradingSettings

# Name in the API -> column. What is no column of its own stands in `shown_settings`.
COLUMNS = {
    "speed": "replay_seconds",
    "timeframe": "interval",
    "historyLength": "history_length",
    "modelType": "model_type",
    "predictionHorizon": "prediction_horizon",
    "confidenceThreshold": "confidence_threshold",
    "maxPositionSize": "max_position",
    "riskLevel": "risk_level",
    "stopLoss": "stop_loss",
    "takeProfit": "take_profit",
    "trailingStop": "trailing_stop",
    "maxDailyLoss": "max_daily_loss",
    "maxDrawdown": "max_drawdown",
    "maxEntriesPerDay": "max_entries_per_day",
    "maxOpenPositions": "max_open_positions",
    "maxQuoteAgeSeconds": "max_quote_age_seconds",
    "killSwitch": "kill_switch",
    "ruleBasedFallback": "rule_based_fallback",
}

# What the platform does whatever is asked: nothing is bought on credit, and sources are tried in one fixed order.
FIXED = {"maxLeverage": 1, "dataProvider": "auto"}


def shown_settings(account_id: int) -> dict[str, Any]:
    row = TradingSettings.objects.select_related("account", "symbol").get(account=account_id)
    return {
        "status": row.status,
        "symbol": row.symbol.symbol if row.symbol else platform.DEFAULT_SYMBOL,
        "initialBalance": row.account.initial_balance,
        **{name: getattr(row, column) for name, column in COLUMNS.items()},
        **FIXED,
        "updatedAt": row.updated_at,
    }
