"""The equity curve of an account: all of its stored points, or as many as a chart or a ratio needs."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
from django.db.models import ExpressionWrapper, F, FloatField, Max, QuerySet, RowRange, Value, Window
from django.db.models.functions import Cast, Greatest, Mod, RowNumber

from engine.indicators import Array
from engine.metrics import Metrics, max_drawdown, metrics
from trading.models import Account, EquityPoint, Position

MOST_POINTS = 5000
CHART_POINTS = 500


@dataclass(frozen=True, slots=True)
class EquityCurve:
    """Balance and equity at each time, in order; `points` are the rows from which they were taken."""

    points: "QuerySet[EquityPoint]"
    times: list[datetime]
    balance: list[Decimal]
    equity: list[Decimal]
    stride: int

    @property
    def elapsed(self) -> timedelta:
        return self.times[-1] - self.times[0] if self.times else timedelta(0)

    def chart(self) -> list[tuple[datetime, Decimal, Decimal]]:
        """At most CHART_POINTS of the points; the newest is always one of them."""
        stride = _stride(len(self.times), CHART_POINTS)
        rows = list(zip(self.times, self.balance, self.equity, strict=True))
        return rows[::-1][::stride][::-1]

    def drawdown(self, initial: Decimal | None) -> tuple[float, float] | None:
        """In money and in percent, None without a point; `initial` is the equity before the first point."""
        if not self.times:
            return None
        if self.stride > 1:
            return _drawdown(self.points, initial)
        values = self.equity if initial is None else [initial, *self.equity]
        return max_drawdown(np.array(values, dtype=np.float64))


def equity_points(account: Account) -> "QuerySet[EquityPoint]":
    return EquityPoint.objects.filter(account=account.pk).order_by("time")


def equity_curve(points: "QuerySet[EquityPoint]") -> EquityCurve:
    """All points up to MOST_POINTS, beyond that evenly strided ones, which the database selects."""
    count = points.count()
    stride = _stride(count, MOST_POINTS)
    rows = points if stride == 1 else _strided(points, count, stride)
    columns = zip(*rows.values_list("time", "balance", "equity"), strict=True)
    times, balance, equity = [list(column) for column in columns] or ([], [], [])
    return EquityCurve(points, times, balance, equity, stride)


def _strided(points: "QuerySet[EquityPoint]", count: int, stride: int) -> "QuerySet[EquityPoint]":
    """Every point that is a multiple of `stride` away from the newest."""
    ranked = points.annotate(rank=Window(RowNumber(), order_by="time"))
    return ranked.annotate(rest=Mod(count - F("rank"), stride)).filter(rest=0)


def _drawdown(points: "QuerySet[EquityPoint]", initial: Decimal | None) -> tuple[float, float]:
    """`engine.metrics.max_drawdown` over all points, computed by the database where they are too many to fetch."""
    # Floats, as in the engine: the database compares them several times as fast as its decimals.
    equity = Cast("equity", FloatField())
    peak: Window | Greatest = Window(Max(equity), order_by="time", frame=RowRange(end=0))
    if initial is not None:
        peak = Greatest(peak, Value(float(initial)), output_field=FloatField())
    fall = points.annotate(peak=peak).annotate(fall=F("peak") - equity)
    share = ExpressionWrapper(100.0 * F("fall") / F("peak"), FloatField())
    found = fall.annotate(share=share).aggregate(money=Max("fall"), percent=Max("share"))
    return found["money"], found["percent"]


def sharpe_ratio(curve: EquityCurve) -> float | None:
    """Annualised; None where it is not defined."""
    if not curve.times:
        return None
    equity = np.array(curve.equity, dtype=np.float64)
    return metrics(equity, np.zeros_like(equity), [], curve.elapsed).sharpe


def ratios(account: Account, curve: EquityCurve) -> Metrics | None:
    """Ratios of the equity alone, without trades; None without a point."""
    if not curve.times:
        return None
    equity = np.array(curve.equity, dtype=np.float64)
    return metrics(equity, _exposed(account, curve.times), [], curve.elapsed)


def _exposed(account: Account, times: list[datetime]) -> Array:
    """The number of positions open at each time.

    A fill is dated to the open of its candle, which is the close of the candle before, when it had not happened yet.
    """
    positions = Position.objects.filter(account=account.pk)
    opened = positions.order_by("opened_at").values_list("opened_at", flat=True)
    closed = positions.filter(closed_at__isnull=False).order_by("closed_at").values_list("closed_at", flat=True)
    moments = _stamps(times)
    before = [np.searchsorted(_stamps(column), moments) for column in (opened, closed)]
    return np.subtract(*before).astype(np.float64)


def _stamps(times: Iterable[datetime | None]) -> Array:
    return np.array([time.timestamp() for time in times if time], dtype=np.float64)


def _stride(count: int, most: int) -> int:
    return max(1, -(-count // most))
