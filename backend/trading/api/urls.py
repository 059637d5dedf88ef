"""The addresses below /api/trading/."""

from django.urls import include, path

import trading.api.errors  # noqa: F401  # registers the answers
from trading.api import agents, cycle, market_data, messages, models, settings, symbols

urlpatterns = [
    path("", include("trading.api.book_urls")),
    path("symbols/", symbols.SymbolList.as_view(), name="symbols"),
    path("symbols/<int:pk>/", symbols.SymbolDetail.as_view(), name="symbol"),
    path("market-data/", market_data.MarketDataList.as_view(), name="market-data"),
    path("market-data/<int:pk>/", market_data.MarketDataDetail.as_view(), name="market-data-row"),
    path("market-data/latest/", market_data.LatestView.as_view(), name="market-data-latest"),
    path("market-data/candles/", market_data.CandlesView.as_view(), name="candles"),
    path("market-data/refresh/", market_data.RefreshView.as_view(), name="market-data-refresh"),
    path("market-data/refresh/<str:task_id>/", market_data.RefreshTaskView.as_view(), name="market-data-refresh-task"),
    path("market/latest/", market_data.SnapshotView.as_view(), name="latest-snapshot"),
    path("agents/status/", agents.StatusView.as_view(), name="agents-status"),
    path("agents/detail/", agents.DetailView.as_view(), name="agents-detail"),
    path("agents/market-monitor/", agents.MarketMonitorView.as_view(), name="market-monitor"),
    path("agents/decision-maker/", agents.DecisionMakerView.as_view(), name="decision-maker"),
    path("agents/execution/", agents.ExecutionView.as_view(), name="execution"),
    path("messages/", messages.MessageList.as_view(), name="messages"),
    path("messages/<int:pk>/", messages.MessageDetail.as_view(), name="message"),
    path("settings/", settings.SettingsView.as_view(), name="settings"),
    path("models/", models.ModelList.as_view(), name="models"),
    path("models/<int:pk>/", models.ModelDetail.as_view(), name="model"),
    path("models/train/", models.TrainView.as_view(), name="train-model"),
    path("models/train/<str:task_id>/", models.TrainingTaskView.as_view(), name="training"),
    path("run-cycle/", cycle.RunCycleView.as_view(), name="run-cycle"),
]
