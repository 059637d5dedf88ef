"""The course of an account's equity: every stored point of it, or as many as a chart or a ratio needs."""

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
class Course:
    """Moments in order with the balance and the equity at each; `points` are the rows that they were taken from."""

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
        """In money and in percent, None without a point; `initial` is where the account stood before the first one."""
        if not self.times:
            return None
        if self.stride > 1:
            return _drawdown(self.points, initial)
        values = self.equity if initial is None else [initial, *self.equity]
        return max_drawdown(np.array(values, dtype=np.float64))


def equity_points(account: Account) -> "QuerySet[EquityPoint]":
    return EquityPoint.objects.filter(account=account.pk).order_by("time")


def course_of(points: "QuerySet[EquityPoint]") -> Course:
    """All points where there are at most MOST_POINTS, or evenly strided ones, which the database picks."""
    count = points.count()
    stride = _stride(count, MOST_POINTS)
    rows = points if stride == 1 else _strided(points, count, stride)
    columns = zip(*rows.values_list("time", "balance", "equity"), strict=True)
    times, balance, equity = [list(column) for column in columns] or ([], [], [])
    return Course(points, times, balance, equity, stride)


def _strided(points: "QuerySet[EquityPoint]", count: int, stride: int) -> "QuerySet[EquityPoint]":
    """Every point that is a multiple of `stride` away from the newest."""
    ranked = points.annotate(rank=Window(RowNumber(), order_by="time"))
    return ranked.annotate(rest=Mod(count - F("rank"), stride)).filter(rest=0)


def _drawdown(points: "QuerySet[EquityPoint]", initial: Decimal | None) -> tuple[float, float]:
    """What `engine.metrics.max_drawdown` says, of all points, where there are too many to fetch."""
    # In floats, as where all are fetched: the database compares them several times as fast as its decimals.
    equity = Cast("equity", FloatField())
    peak = Window(Max(equity), order_by="time", frame=RowRange(end=0))
    if initial is not None:
        peak = Greatest(peak, Value(float(initial)), output_field=FloatField())
    fall = points.annotate(peak=peak).annotate(fall=F("peak") - equity)
    share = ExpressionWrapper(100.0 * F("fall") / F("peak"), FloatField())
    found = fall.annotate(share=share).aggregate(money=Max("fall"), percent=Max("share"))
    return found["money"], found["percent"]


def sharpe_ratio(course: Course) -> float | None:
    """Annualised; None where it is not defined."""
    if not course.times:
        return None
    equity = np.array(course.equity, dtype=np.float64)
    return metrics(equity, np.zeros_like(equity), [], course.elapsed).sharpe


def ratios(account: Account, course: Course) -> Metrics | None:
    """The figures of the equity; None while there is no point. Trades are counted by the database instead."""
    if not course.times:
        return None
    equity = np.array(course.equity, dtype=np.float64)
    return metrics(equity, _exposed(account, course.times), [], course.elapsed)


def _exposed(account: Account, times: list[datetime]) -> Array:
    """How many positions were open at each moment.

    A fill stands at the open of its candle, which is the close of the one before, where it had not happened yet.
    """
    positions = Position.objects.filter(account=account.pk)
    opened = positions.order_by("opened_at").values_list("opened_at", flat=True)
    closed = positions.filter(closed_at__isnull=False).order_by("closed_at").values_list("closed_at", flat=True)
    moments = _stamps(times)
    before = [np.searchsorted(_stamps(list(column)), moments, side="left") for column in (opened, closed)]
    return np.subtract(*before).astype(np.float64)


def _stamps(times: list[datetime]) -> Array:
    return np.array([time.timestamp() for time in times], dtype=np.float64)


def _stride(count: int, most: int) -> int:
    return max(1, -(-count // most))
