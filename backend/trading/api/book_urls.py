"""The addresses of an account's books, below /api/trading/."""

from django.urls import path

from trading.api import analytics, dashboard, decisions, orders, portfolio, positions, trades

urlpatterns = [
    path("decisions/", decisions.DecisionList.as_view(), name="decisions"),
    path("decisions/statistics/", decisions.DecisionStatistics.as_view(), name="decision-statistics"),
    path("decisions/<int:pk>/", decisions.DecisionDetail.as_view(), name="decision"),
    path("decisions/<int:pk>/trace/", decisions.DecisionTrace.as_view(), name="decision-trace"),
    path("trades/", trades.TradeList.as_view(), name="trades"),
    path("trades/<int:pk>/", trades.TradeDetail.as_view(), name="trade"),
    path("positions/", positions.PositionList.as_view(), name="positions"),
    path("positions/<int:pk>/", positions.PositionDetail.as_view(), name="position"),
    path("positions/close/", positions.ClosePosition.as_view(), name="position-close"),
    path("demo/orders/", orders.DemoOrders.as_view(), name="demo-orders"),
    path("portfolio/", portfolio.PortfolioView.as_view(), name="portfolio"),
    path("portfolio/equity-curve/", portfolio.EquityCurve.as_view(), name="equity-curve"),
    path("analytics/performance-metrics/", analytics.PerformanceMetrics.as_view(), name="performance-metrics"),
    path("analytics/pnl-curve/", analytics.ProfitCurve.as_view(), name="pnl-curve"),
    path("analytics/monthly-breakdown/", analytics.MonthlyBreakdown.as_view(), name="monthly-breakdown"),
    path("dashboard/overview/", dashboard.Overview.as_view(), name="overview"),
    path("dashboard/market-chart/", dashboard.MarketChart.as_view(), name="market-chart"),
    path("dashboard/market-heatmap/", dashboard.MarketHeatmap.as_view(), name="market-heatmap"),
]
