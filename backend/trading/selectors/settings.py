"""The settings of an account under their API names."""

from typing import Any

from django.conf import settings as platform

from trading.models import TradingSettings

# API name -> column of the same value; `settings_of` adds the others.
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
    "maxExposure": "max_exposure",
    "maxDailyLoss": "max_daily_loss",
    "maxDrawdown": "max_drawdown",
    "maxEntriesPerDay": "max_entries_per_day",
    "maxOpenPositions": "max_open_positions",
    "maxQuoteAgeSeconds": "max_quote_age_seconds",
    "killSwitch": "kill_switch",
    "ruleBasedFallback": "rule_based_fallback",
}

# Constants of the platform: no leverage, and one fixed order of sources.
FIXED = {"maxLeverage": 1, "dataProvider": "auto"}


def settings_of(account_id: int) -> dict[str, Any]:
    row = TradingSettings.objects.select_related("account", "symbol").get(account=account_id)
    return {
        "status": row.status,
        "symbol": row.symbol.symbol if row.symbol else platform.DEFAULT_SYMBOL,
        "initialBalance": row.account.initial_balance,
        **{name: getattr(row, column) for name, column in COLUMNS.items()},
        **FIXED,
        "updatedAt": row.updated_at,
    }
