"""A model that goes on learning: challengers answer in shadow, and by what they said the champion is judged.

Shadow answers are rows for this judgement. No agent reads them, and nothing here writes a message, a decision or an
order: `learning` does not know that there are any.
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
from learning.models import ModelVersion, Promotion, ShadowAnswer
from learning.promotion.trial import PROMOTION_EVIDENCE, Classes, Rows, trial
from learning.registry.selectors import challengers, promotions
from learning.registry.services import promote, retire, roll_back
from learning.registry.stored import StoredModel, load
from learning.scores.drift import DRIFT_WINDOW, Profile, broken_promises, degradation, drift
from learning.training.examples import Examples, examples
from learning.training.recipes import Recipe
from market.models import Symbol
from market.selectors import candle_frame, latest_candles

MOST_AT_ONCE = 5000
"""Candles that are answered in one go; after a long pause the next turn goes on."""

JUST_AFTER = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Change:
    """Another champion decides from now on (None: nobody does), and why."""

    promotion: Promotion

    @property
    def is_promotion(self) -> bool:
        return self.promotion.kind == Promotion.Kind.PROMOTED

    @property
    def text(self) -> str:
        version, reason = self.promotion.version, self.promotion.reason
        if self.is_promotion:
            return f"Promoted {version}: {reason}"
        return f"Rolled back {self.promotion.replaced}: {reason}. {version or 'No model'} decides now"


@dataclass(frozen=True, slots=True)
class Record:
    """What was said during the tenure of a champion about candles whose labels have closed, in time order.

    `rows` are their places in the market. `challenger` (n, 3) is NaN where there was none.
    """

    rows: Rows
    champion: Array
    challenger: Array
    truth: Classes


def review(symbol: Symbol, interval: str, name: str) -> Change | None:
    """Has everything answered that is new, and then decides whether the champion stays. None while it does.

    Where the last champion was rolled back and nobody came after it, a challenger has to foretell better than the class
    frequencies that champion was trained on.
    """
    tenure = promotions(symbol, interval, name).first()
    if tenure is None:
        return None
    answer_in_shadow(tenure)
    accused = None if tenure.version is None else _accused(tenure.version, record(tenure))
    return accused or _challenged(tenure)


def answer_in_shadow(tenure: Promotion) -> int:
    """The champion's and the newest challenger's answers to every candle since, and the labels that have closed."""
    until = _answered_until(tenure)
    known = _known(_measure(tenure), until)
    if known is None:
        return 0
    fresh = np.flatnonzero(known.complete & (known.times > pd.Timestamp(until)))[:MOST_AT_ONCE]
    challenger = _newest_challenger(tenure)
    if tenure.version is None:
        answers = np.tile(frequencies(_measure(tenure)), (fresh.size, 1))
    else:
        answers = _answers(load(tenure.version), known, fresh)
    shadow = np.full((fresh.size, 3), np.nan)
    if challenger is not None:
        unseen = known.times[fresh] > pd.Timestamp(challenger.last_time)
        shadow[unseen] = _answers(load(challenger), known, fresh[unseen])
    rows = [
        ShadowAnswer(
            tenure=tenure,
            open_time=known.times[place].to_pydatetime(),
            champion=said.tolist(),
            challenger=None if np.isnan(other[0]) else other.tolist(),
            challenged_by=None if np.isnan(other[0]) else challenger,
        )
        for place, said, other in zip(fresh.tolist(), answers, shadow, strict=True)
    ]
    with transaction.atomic():
        # Twice in two processes is once: the same candle gets the same answers.
        ShadowAnswer.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)
        _settle(tenure, known)
    return len(rows)


def record(tenure: Promotion) -> Record:
    settled = ShadowAnswer.objects.filter(tenure=tenure, truth__isnull=False).order_by("open_time")
    told = list(settled.values_list("open_time", "champion", "challenger", "truth"))
    if not told:
        empty = np.empty((0, 3))
        return Record(np.empty(0, dtype=np.int64), empty, empty, np.empty(0, dtype=np.int8))
    times, said, other, truth = zip(*told, strict=True)
    candles = candle_frame(tenure.symbol, tenure.interval, times[0]).index
    return Record(
        rows=np.asarray(candles.searchsorted(pd.DatetimeIndex(times)), dtype=np.int64),
        champion=np.array(said, dtype=np.float64),
        challenger=np.array([row or [np.nan] * 3 for row in other], dtype=np.float64),
        truth=np.array(truth, dtype=np.int8),
    )


def succeed(newest: ModelVersion) -> None:
    """Retires the challengers before: the trial goes on with the newest of them."""
    for version in challengers(newest.symbol, newest.interval, newest.name).exclude(pk=newest.pk):
        retire(version)


def frequencies(version: ModelVersion) -> Array:
    """The shares (3,) of SELL, HOLD and BUY among the training rows."""
    counts = np.array(version.class_counts, dtype=np.float64)
    return np.asarray(counts / counts.sum())


def _accused(version: ModelVersion, said: Record) -> Change | None:
    """Retires the champion where its market or its answers are not what they were."""
    reason = _drifted(version) or _degraded(version, said)
    return None if reason is None else Change(roll_back(version, reason))


def _drifted(version: ModelVersion) -> str | None:
    newest = latest_candles(version.symbol, version.interval, DRIFT_WINDOW + WINDOW)
    known = examples(Recipe(**version.recipe), market_frame(newest))
    later = known.complete & (known.times > pd.Timestamp(version.last_time))
    found = drift(Profile.from_json(version.profile), known.matrix[later])
    if found is None or not found.is_found:
        return None
    worst = ", ".join(f"{name} {index:.2f}" for name, index in found.worst)
    return f"the features have drifted: stability index {found.index:.2f}, limit {found.limit:.2f} ({worst})"


def _degraded(version: ModelVersion, said: Record) -> str | None:
    horizon = version.recipe["horizon"]
    worse = degradation(said.champion, frequencies(version), said.truth, said.rows, horizon)
    if worse.is_proved:
        return (
            f"the class frequencies of its training foretold better, by {worse.excess:.4f} nats "
            f"on {worse.counted} snapshots (evidence {worse.evidence:.0f})"
        )
    broken = broken_promises(said.champion, said.truth, said.rows, horizon)
    if broken.is_proved:
        return (
            f"its probabilities promise too much, by {broken.excess:.4f} nats beyond the tolerance "
            f"on {broken.counted} snapshots (evidence {broken.evidence:.0f})"
        )
    return None


def _challenged(tenure: Promotion) -> Change | None:
    """Promotes the newest challenger where challengers have earned it in shadow."""
    newest, said = _newest_challenger(tenure), record(tenure)
    horizon = _measure(tenure).recipe["horizon"]
    if newest is None:
        return None
    both = np.isfinite(said.challenger).all(axis=1)
    found = trial(said.champion[both], said.challenger[both], said.truth[both], said.rows[both], horizon)
    if not found.is_won:
        return None
    reason = (
        f"it saved {found.gain:.4f} nats on {found.counted} snapshots in shadow "
        f"(evidence {found.evidence:.0f}, {PROMOTION_EVIDENCE:.0f} needed)"
    )
    return Change(promote(newest, reason))


def _measure(tenure: Promotion) -> ModelVersion:
    """The version whose labels and frequencies count: the champion, or the last one where there is none."""
    version = tenure.version or tenure.replaced
    assert version is not None  # noqa: S101
    return version


def _newest_challenger(tenure: Promotion) -> ModelVersion | None:
    return challengers(tenure.symbol, tenure.interval, tenure.name).first()


def _answered_until(tenure: Promotion) -> datetime:
    """The open time of the last candle that was answered, or that the champion was trained on."""
    own = {"symbol": tenure.symbol, "interval": tenure.interval, "name": tenure.name}
    told = ShadowAnswer.objects.filter(**{f"tenure__{name}": value for name, value in own.items()})
    latest = told.aggregate(latest=Max("open_time"))["latest"]
    trained = _measure(tenure).last_time
    return max(trained, latest) if latest else trained


def _known(version: ModelVersion, after: datetime) -> Examples | None:
    """The candles after that moment as examples, and those before that they need; None where there is nothing new."""
    fresh = len(candle_frame(version.symbol, version.interval, after + JUST_AFTER))
    if not fresh:
        return None
    before = WINDOW + 2 * int(version.recipe["horizon"])
    return examples(
        Recipe(**version.recipe), market_frame(latest_candles(version.symbol, version.interval, fresh + before))
    )


def _answers(model: StoredModel, known: Examples, rows: Rows) -> Array:
    """Calibrated, as they would be decided on."""
    return model.calibrated(model.raw(known.matrix[rows]))


def _settle(tenure: Promotion, known: Examples) -> None:
    """Writes down the labels that have closed."""
    open_rows = ShadowAnswer.objects.filter(tenure=tenure, truth__isnull=True)
    closed = []
    for row in open_rows:
        place = int(known.times.searchsorted(pd.Timestamp(row.open_time)))
        if known.times[place] == row.open_time and known.labels.values[place] != UNKNOWN:
            row.truth = int(known.labels.values[place])
            closed.append(row)
    ShadowAnswer.objects.bulk_update(closed, ["truth"], batch_size=500)
