"""Calibration: probabilities that match the observed frequencies of held-out rows.

One curve per class, fitted one against the rest, maps the raw probability to the observed frequency; the three results
are divided by their sum. Every curve is piecewise linear, because additions, multiplications and divisions give one row
and a batch the same bits.

Sources: John Platt, Probabilistic Outputs for Support Vector Machines, 1999 (the sigmoid and its targets); Bianca
Zadrozny and Charles Elkan, Transforming Classifier Scores into Accurate Multiclass Probability Estimates, 2002.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.indicators import Array
from engine.orders import Action

MINIMUM_HELD_OUT = 100
MINIMUM_OF_A_CLASS = 10
"""A class with fewer held-out rows is too rare to calibrate."""

FURTHEST_LOGIT = 7.0
KNOTS = 113
ITERATIONS = 50


class Method(StrEnum):
    NONE = "none"
    """Raw probabilities; also used where there are too few held-out rows."""

    SIGMOID = "sigmoid"
    """A logistic curve over the log-odds: two parameters per class, enough data from 100 rows on."""

    ISOTONIC = "isotonic"
    """Isotonic regression: any non-decreasing curve; overfits small samples."""


class CalibrationError(ValueError):
    """A stored calibration that cannot be applied."""


@dataclass(frozen=True, slots=True)
class CalibrationCurve:
    """Non-decreasing and piecewise linear; `raw` are strictly increasing, `calibrated` lie between 0 and 1."""

    raw: tuple[float, ...]
    calibrated: tuple[float, ...]
    _knots: Array = field(init=False, repr=False, compare=False)
    _heights: Array = field(init=False, repr=False, compare=False)
    _slopes: Array = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.raw or len(self.raw) != len(self.calibrated):
            raise CalibrationError(f"{len(self.raw)} knots with {len(self.calibrated)} heights are not a curve")
        if not all(isfinite(knot) for knot in self.raw) or any(left >= right for left, right in pairwise(self.raw)):
            raise CalibrationError("the knots of a curve must increase")
        if not all(0 < height < 1 for height in self.calibrated):
            raise CalibrationError("a calibrated probability must be between 0 and 1")
        if any(left > right for left, right in pairwise(self.calibrated)):
            raise CalibrationError("a curve must not decrease")
        knots, heights = np.array(self.raw), np.array(self.calibrated)
        object.__setattr__(self, "_knots", knots)
        object.__setattr__(self, "_heights", heights)
        object.__setattr__(self, "_slopes", np.append(np.diff(heights) / np.diff(knots), 0.0))

    def __call__(self, raw: Array) -> Array:
        """(n,) to (n,); constant beyond both ends, NaN for NaN."""
        within = np.minimum(np.maximum(raw, self.raw[0]), self.raw[-1])
        cells = np.clip(np.searchsorted(self._knots, within, side="right") - 1, 0, len(self.raw) - 1)
        return np.asarray(self._heights[cells] + self._slopes[cells] * (within - self._knots[cells]))


@dataclass(frozen=True, slots=True)
class Calibration:
    """One curve for each of SELL, HOLD and BUY, fitted on `rows` held-out rows; no curves for `Method.NONE`."""

    method: Method = Method.NONE
    rows: int = 0
    curves: tuple[CalibrationCurve, ...] = ()

    def __post_init__(self) -> None:
        if len(self.curves) != (0 if self.method is Method.NONE else len(Action)):
            raise CalibrationError(f"{len(self.curves)} curves are not a {self.method} calibration")

    def apply(self, raw: Array) -> Array:
        """Calibrated probabilities (n, 3) for raw ones (n, 3); one row and a batch give the same bits."""
        if not self.curves:
            return raw.copy()
        sell, hold, buy = (curve(raw[:, action]) for action, curve in zip(Action, self.curves, strict=True))
        total = sell + hold + buy
        return np.column_stack([sell / total, hold / total, buy / total])

    def to_json(self) -> dict[str, Any]:
        curves = [{"raw": list(curve.raw), "calibrated": list(curve.calibrated)} for curve in self.curves]
        return {"method": self.method.value, "rows": self.rows, "curves": curves}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Calibration":
        """The inverse of `to_json`, to the last bit. Raises CalibrationError."""
        try:
            curves = tuple(
                CalibrationCurve(tuple(map(float, curve["raw"])), tuple(map(float, curve["calibrated"])))
                for curve in stored["curves"]
            )
            return cls(Method(stored["method"]), int(stored["rows"]), curves)
        except (KeyError, TypeError, ValueError) as error:
            raise CalibrationError(f"not a calibration: {error}") from error


def fit_calibration(method: Method, raw: Array, values: npt.NDArray[np.int8]) -> Calibration:
    """A calibration from raw probabilities (n, 3) of held-out rows and their n known labels.

    `Method.NONE` where there are too few rows, or too few of a class.
    """
    counts = np.bincount(values, minlength=len(Action))
    if method is Method.NONE or values.size < MINIMUM_HELD_OUT or counts.min() < MINIMUM_OF_A_CLASS:
        return Calibration(rows=values.size)
    fitted = _sigmoid if method is Method.SIGMOID else _isotonic
    curves = tuple(fitted(raw[:, action], values == action) for action in Action)
    return Calibration(method, values.size, curves)


def _sigmoid(raw: Array, happened: npt.NDArray[np.bool_]) -> CalibrationCurve:
    """Maximum likelihood by Newton's method with Platt's targets, which avoid probabilities of 0 and 1."""
    hits, misses = np.count_nonzero(happened), np.count_nonzero(~happened)
    targets = np.where(happened, (hits + 1.0) / (hits + 2.0), 1.0 / (misses + 2.0))
    inputs = np.column_stack([_logit(raw), np.ones(raw.size)])
    weights = _newton(inputs, targets)
    if weights[0] < 0:
        # A decreasing curve: only the frequency of the class is used.
        weights = _newton(inputs * [0.0, 1.0], targets)
    logits = np.linspace(-FURTHEST_LOGIT, FURTHEST_LOGIT, KNOTS)
    heights = _logistic(weights[0] * logits + weights[1])
    return _curve(_logistic(logits), heights, raw.size)


def _newton(inputs: Array, targets: Array) -> Array:
    weights = np.zeros(2)
    ridge = np.eye(2) * 1e-9
    for _ in range(ITERATIONS):
        guesses = _logistic(inputs @ weights)
        slopes = guesses * (1.0 - guesses)
        step = np.linalg.solve((inputs * slopes[:, None]).T @ inputs + ridge, inputs.T @ (targets - guesses))
        # A full step may overshoot to where the slope is near 0 and the next step diverges.
        step *= min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))
        weights = weights + step
        if np.abs(step).max() < 1e-10:
            break
    return weights


def _isotonic(raw: Array, happened: npt.NDArray[np.bool_]) -> CalibrationCurve:
    # scikit-learn takes seconds to import and is not needed to apply a calibration.
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression().fit(raw, happened.astype(np.float64))
    return _curve(fitted.X_thresholds_, fitted.y_thresholds_, raw.size)


def _curve(knots: Array, heights: Array, rows: int) -> CalibrationCurve:
    """Heights within 1/(n + 2) and 1 - 1/(n + 2): n rows do not prove a probability of 0 or 1."""
    least = 1.0 / (rows + 2.0)
    return CalibrationCurve(
        tuple(knots.tolist()), tuple(np.maximum.accumulate(np.clip(heights, least, 1.0 - least)).tolist())
    )


def _logit(raw: Array) -> Array:
    within = np.clip(raw, _logistic(-FURTHEST_LOGIT), _logistic(FURTHEST_LOGIT))
    return np.asarray(np.log(within / (1.0 - within)))


def _logistic(logits: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-logits))
