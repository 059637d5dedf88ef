"""Continuous comparison of champion and challenger by shadow predictions.

Shadow predictions are stored for this comparison only: no agent reads them, and nothing here writes a message, a
decision or an order.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from django.db import transaction
from django.db.models import Max

from engine.indicators import WINDOW, Array
from engine.labels import UNKNOWN
from engine.snapshot import market_frame
from engine.validation import Rows
from learning.models import ModelVersion, Promotion, PromotionKind, ShadowAnswer
from learning.promotion.e_values import (
    DEGRADATION_E_VALUE,
    PROMOTION_E_VALUE,
    Classes,
    compare,
    miscalibration,
    worse_than_frequencies,
)
from learning.registry.selectors import challengers, promotions
from learning.registry.services import promote, retire, roll_back
from learning.registry.stored import StoredModel, load
from learning.scores.drift import DRIFT_WINDOW, Profile, drift
from learning.training.examples import Examples, examples
from learning.training.recipes import Recipe
from market.models import Symbol
from market.selectors import candle_frame, latest_candles

MOST_AT_ONCE = 5000
"""Candles predicted in one call; after a long pause the following calls continue."""

JUST_AFTER = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of champion."""

    promotion: Promotion

    @property
    def is_promotion(self) -> bool:
        return self.promotion.kind == PromotionKind.PROMOTED

    @property
    def text(self) -> str:
        version, reason = self.promotion.version, self.promotion.reason
        if self.is_promotion:
            return f"Promoted {version}: {reason}"
        return f"Rolled back {self.promotion.replaced}: {reason}. {version or 'No model'} decides now"


@dataclass(frozen=True, slots=True)
class ShadowRecord:
    """Shadow predictions of one tenure for n candles whose labels have closed, in time order.

    `rows` (n,) are candle numbers. `challenger` (n, 3) is NaN where there was none.
    """

    rows: Rows
    champion: Array
    challenger: Array
    truth: Classes


def review(symbol: Symbol, interval: str, name: str) -> Change | None:
    """Stores shadow predictions for new candles, and then changes the champion if a test requires it; None otherwise.

    Without a champion after a roll-back, a challenger must predict better than the class frequencies of the training
    rows of the last champion.
    """
    tenure = promotions(symbol, interval, name).first()
    if tenure is None:
        return None
    predict_in_shadow(tenure)
    degraded = None if tenure.version is None else _rolled_back(tenure.version, record(tenure))
    return degraded or _promoted(tenure)


def predict_in_shadow(tenure: Promotion) -> int:
    """Stores predictions of champion and newest challenger for new candles, and closed labels; how many candles."""
    until = _predicted_until(tenure)
    known = _known(_reference(tenure), until)
    if known is None:
        return 0
    fresh = np.flatnonzero(known.complete & (known.times > pd.Timestamp(until)))[:MOST_AT_ONCE]
    challenger = _newest_challenger(tenure)
    if tenure.version is None:
        champion = np.tile(frequencies(_reference(tenure)), (fresh.size, 1))
    else:
        champion = _predictions(load(tenure.version), known, fresh)
    other = np.full((fresh.size, 3), np.nan)
    if challenger is not None:
        unseen = known.times[fresh] > pd.Timestamp(challenger.last_time)
        other[unseen] = _predictions(load(challenger), known, fresh[unseen])
    rows = [
        ShadowAnswer(
            tenure=tenure,
            open_time=known.times[place].to_pydatetime(),
            champion=first.tolist(),
            challenger=None if np.isnan(second[0]) else second.tolist(),
            challenged_by=None if np.isnan(second[0]) else challenger,
        )
        for place, first, second in zip(fresh.tolist(), champion, other, strict=True)
    ]
    with transaction.atomic():
        # Two processes may store the same candle: their predictions are equal.
        ShadowAnswer.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)
        _store_labels(tenure, known)
    return len(rows)


def record(tenure: Promotion) -> ShadowRecord:
    settled = ShadowAnswer.objects.filter(tenure=tenure, truth__isnull=False).order_by("open_time")
    stored = list(settled.values_list("open_time", "champion", "challenger", "truth"))
    if not stored:
        empty = np.empty((0, 3))
        return ShadowRecord(np.empty(0, dtype=np.int64), empty, empty, np.empty(0, dtype=np.int8))
    times, champion, challenger, truth = zip(*stored, strict=True)
    candles = candle_frame(tenure.symbol, tenure.interval, times[0]).index
    return ShadowRecord(
        rows=np.asarray(candles.searchsorted(pd.DatetimeIndex(times)), dtype=np.int64),
        champion=np.array(champion, dtype=np.float64),
        challenger=np.array([row or [np.nan] * 3 for row in challenger], dtype=np.float64),
        truth=np.array(truth, dtype=np.int8),
    )


def succeed(newest: ModelVersion) -> None:
    """Retires older challengers; the comparison goes on with the newest."""
    for version in challengers(newest.symbol, newest.interval, newest.name).exclude(pk=newest.pk):
        retire(version)


def frequencies(version: ModelVersion) -> Array:
    """The shares (3,) of SELL, HOLD and BUY among the training rows."""
    counts = np.array(version.class_counts, dtype=np.float64)
    return np.asarray(counts / counts.sum())


def _rolled_back(version: ModelVersion, record: ShadowRecord) -> Change | None:
    """Rolls the champion back where the features have drifted or its predictions have degraded."""
    reason = _drift_reason(version) or _degradation_reason(version, record)
    return None if reason is None else Change(roll_back(version, reason))


def _drift_reason(version: ModelVersion) -> str | None:
    newest = latest_candles(version.symbol, version.interval, DRIFT_WINDOW + WINDOW)
    known = examples(Recipe(**version.recipe), market_frame(newest))
    later = known.complete & (known.times > pd.Timestamp(version.last_time))
    found = drift(Profile.from_json(version.profile), known.matrix[later])
    if found is None or not found.is_found:
        return None
    worst = ", ".join(f"{name} {index:.2f}" for name, index in found.worst)
    return f"the features have drifted: stability index {found.index:.2f}, limit {found.limit:.2f} ({worst})"


def _degradation_reason(version: ModelVersion, record: ShadowRecord) -> str | None:
    horizon = version.recipe["horizon"]
    worse = worse_than_frequencies(record.champion, frequencies(version), record.truth, record.rows, horizon)
    if worse.e_value >= DEGRADATION_E_VALUE:
        return (
            f"the class frequencies of its training predicted better, by {worse.gain:.4f} nats "
            f"on {worse.counted} snapshots (e-value {worse.e_value:.0f})"
        )
    off = miscalibration(record.champion, record.truth, record.rows, horizon)
    if off.e_value >= DEGRADATION_E_VALUE:
        return (
            f"its probabilities are not calibrated any more, by {off.gain:.4f} nats beyond the tolerance "
            f"on {off.counted} snapshots (e-value {off.e_value:.0f})"
        )
    return None


def _promoted(tenure: Promotion) -> Change | None:
    """Promotes the newest challenger where the shadow predictions of challengers are significantly better."""
    newest = _newest_challenger(tenure)
    if newest is None:
        return None
    known, horizon = record(tenure), _reference(tenure).recipe["horizon"]
    both = np.isfinite(known.challenger).all(axis=1)
    found = compare(known.champion[both], known.challenger[both], known.truth[both], known.rows[both], horizon)
    if found.e_value < PROMOTION_E_VALUE:
        return None
    reason = (
        f"it saved {found.gain:.4f} nats on {found.counted} snapshots in shadow "
        f"(e-value {found.e_value:.0f}, {PROMOTION_E_VALUE:.0f} needed)"
    )
    return Change(promote(newest, reason))


def _reference(tenure: Promotion) -> ModelVersion:
    """The version whose labels and class frequencies are used: the champion, or the last one where there is none."""
    version = tenure.version or tenure.replaced
    assert version is not None  # noqa: S101
    return version


def _newest_challenger(tenure: Promotion) -> ModelVersion | None:
    return challengers(tenure.symbol, tenure.interval, tenure.name).first()


def _predicted_until(tenure: Promotion) -> datetime:
    """The open time of the last candle with a shadow prediction, or of the last training candle."""
    stored = ShadowAnswer.objects.filter(
        tenure__symbol=tenure.symbol, tenure__interval=tenure.interval, tenure__name=tenure.name
    )
    latest = stored.aggregate(latest=Max("open_time"))["latest"]
    trained = _reference(tenure).last_time
    return max(trained, latest) if latest else trained


def _known(version: ModelVersion, after: datetime) -> Examples | None:
    """Examples of the candles after a time, with the earlier ones that they need; None where there are no new ones."""
    fresh = len(candle_frame(version.symbol, version.interval, after + JUST_AFTER))
    if not fresh:
        return None
    before = WINDOW + 2 * int(version.recipe["horizon"])
    candles = latest_candles(version.symbol, version.interval, fresh + before)
    return examples(Recipe(**version.recipe), market_frame(candles))


def _predictions(model: StoredModel, known: Examples, rows: Rows) -> Array:
    """Calibrated, as decisions would use them."""
    return model.calibrated(model.raw(known.matrix[rows]))


def _store_labels(tenure: Promotion, known: Examples) -> None:
    """Stores the labels that have closed."""
    open_rows = ShadowAnswer.objects.filter(tenure=tenure, truth__isnull=True)
    closed = []
    for row in open_rows:
        place = int(known.times.searchsorted(pd.Timestamp(row.open_time)))
        if known.times[place] == row.open_time and known.labels.values[place] != UNKNOWN:
            row.truth = int(known.labels.values[place])
            closed.append(row)
    ShadowAnswer.objects.bulk_update(closed, ["truth"], batch_size=500)
