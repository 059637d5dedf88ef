"""The addresses below /api/trading/."""

from django.urls import path
from rest_framework.routers import SimpleRouter
from rest_framework.viewsets import ViewSetMixin

import trading.api.errors  # noqa: F401  # registers the responses
from trading.api import (
    agents,
    analytics,
    cycle,
    dashboard,
    decisions,
    market_data,
    messages,
    models,
    orders,
    portfolio,
    positions,
    settings,
    symbols,
    trades,
)

VIEW_SETS: dict[str, type[ViewSetMixin]] = {
    "symbols": symbols.SymbolViewSet,
    "market-data": market_data.MarketDataViewSet,
    "decisions": decisions.DecisionViewSet,
    "trades": trades.TradeViewSet,
    "positions": positions.PositionViewSet,
    "agents": agents.AgentViewSet,
    "messages": messages.MessageViewSet,
    "models": models.ModelViewSet,
    "analytics": analytics.AnalyticsViewSet,
    "dashboard": dashboard.DashboardViewSet,
    "demo/orders": orders.DemoOrderViewSet,
}

router = SimpleRouter(use_regex_path=False)
for prefix, view_set in VIEW_SETS.items():
    router.register(prefix, view_set, basename=prefix)

urlpatterns = [
    *router.urls,
    path("market/latest/", market_data.SnapshotView.as_view(), name="latest-snapshot"),
    path("portfolio/", portfolio.PortfolioView.as_view(), name="portfolio"),
    path("portfolio/equity-curve/", portfolio.EquityCurveView.as_view(), name="equity-curve"),
    path("settings/", settings.SettingsView.as_view(), name="settings"),
    path("run-cycle/", cycle.RunCycleView.as_view(), name="run-cycle"),
]
