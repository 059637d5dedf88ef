"""A series of values as the points of an inline SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

WIDTH, HEIGHT, MARGIN = 1000, 240, 8
MOST_POINTS = 400

Line = Sequence[tuple[datetime, Decimal]]


@dataclass(frozen=True)
class Chart:
    """`points`: the attribute of an SVG polyline; `start_y`: the y of the reference value."""

    points: str
    start_y: float
    lowest: float
    highest: float
    first: datetime
    last: datetime
    width: int = WIDTH
    height: int = HEIGHT


def chart(line: Line, start: Decimal) -> Chart | None:
    """None for fewer than two points."""
    if len(line) < 2:
        return None
    line = _thinned(line)
    values = [float(value) for _, value in line]
    lowest, highest = min([*values, float(start)]), max([*values, float(start)])
    step = WIDTH / (len(values) - 1)
    points = " ".join(f"{at * step:.1f},{_y(value, lowest, highest):.1f}" for at, value in enumerate(values))
    return Chart(points, _y(float(start), lowest, highest), lowest, highest, line[0][0], line[-1][0])


def _thinned(line: Line) -> Line:
    """Every n-th point, counted from the last."""
    every = -(-len(line) // MOST_POINTS)
    return line[::-1][::every][::-1]


def _y(value: float, lowest: float, highest: float) -> float:
    if highest == lowest:
        return HEIGHT / 2
    return MARGIN + (HEIGHT - 2 * MARGIN) * (highest - value) / (highest - lowest)
