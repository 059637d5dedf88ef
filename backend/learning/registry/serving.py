"""Models at work: the champion of a market, kept warm, asked about one snapshot at a time."""

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic

from engine.features import FEATURES, feature_vector
from engine.indicators import Array
from engine.orders import Action
from engine.snapshot import Snapshot
from learning.models import ModelVersion
from learning.registry.selectors import servants
from learning.registry.stored import ModelUnusable, StoredModel, load

logger = logging.getLogger(__name__)

# A promotion is noticed this soon; until then an answer asks the database nothing.
LOOK_SECONDS = 0.5
# About 2 MB each.
MOST_WARM = 128


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said about one snapshot, with the inputs it saw; probabilities (3,) in the order of Action.

    `probabilities` are calibrated, `raw` is what the trees say. `model` is the version that answered, warm.
    """

    probabilities: Array
    model_type: str
    version: str
    features: Mapping[str, float]
    raw: Array | None = None
    model: StoredModel | None = None

    def named_probabilities(self) -> dict[str, float]:
        return {action.name: float(self.probabilities[action]) for action in Action}


@dataclass(slots=True)
class _Seat:
    """Who answers in a market, and when that was last looked up."""

    looked: float
    servants: list[ModelVersion]


class Predictor:
    """Keeps models warm, as many as there is room for. Where a version cannot be loaded, the one before serves."""

    def __init__(self) -> None:
        self._warm: OrderedDict[int, StoredModel] = OrderedDict()
        self._unusable: dict[int, str] = {}
        self._seats: dict[tuple[str, str, str], _Seat] = {}

    def answer(self, snapshot: Snapshot, name: str) -> Answer | None:
        """None while nobody can answer. A version is never asked about candles it was trained on."""
        model = self.model_for(snapshot, name)
        if model is None:
            return None
        vector = feature_vector(snapshot, model.form)
        raw = model.raw(vector.reshape(1, -1))
        return Answer(
            probabilities=model.calibrated(raw)[0],
            model_type=model.version.algorithm,
            version=model.version.content_hash,
            features=dict(zip(FEATURES, vector.tolist(), strict=True)),
            raw=raw[0],
            model=model,
        )

    def model_for(self, snapshot: Snapshot, name: str) -> StoredModel | None:
        for version in self._servants(snapshot, name):
            if (model := self.usable(version)) is not None:
                return model
        return None

    def usable(self, version: ModelVersion) -> StoredModel | None:
        """The model of a version, or None, which is logged, where it must not answer."""
        try:
            return self.warm(version)
        except ModelUnusable as error:
            # Told once and not at every candle.
            if self._unusable.get(version.pk) != str(error):
                self._unusable[version.pk] = str(error)
                logger.error("AI model %s cannot serve: %s", version, error)
            return None

    def is_warm(self, version: ModelVersion) -> bool:
        return version.pk in self._warm

    def warm(self, version: ModelVersion) -> StoredModel:
        """Loads a version if it is not at hand. Raises ModelUnusable."""
        if (model := self._warm.get(version.pk)) is None:
            model = load(version)
            logger.info("Using AI model %s", version)
            self._warm[version.pk] = model
            while len(self._warm) > MOST_WARM:
                self._warm.popitem(last=False)
        self._warm.move_to_end(version.pk)
        return model

    def _servants(self, snapshot: Snapshot, name: str) -> list[ModelVersion]:
        market = snapshot.symbol, snapshot.interval, name
        seat = self._seats.get(market)
        now = monotonic()
        # Who was looked up for this candle has not seen a later one either; an older one is looked up anew.
        known = seat is not None and now - seat.looked < LOOK_SECONDS
        if known and seat is not None and seat.servants and seat.servants[0].last_time < snapshot.open_time:
            return seat.servants
        found = servants(*market, before=snapshot.open_time)
        self._seats[market] = _Seat(now, found)
        self._forget_others(seat, found)
        return found

    def _forget_others(self, seat: _Seat | None, found: list[ModelVersion]) -> None:
        """A version that was replaced is not kept in memory."""
        for version in seat.servants[:1] if seat else []:
            if found and version.pk not in {it.pk for it in found[:1]}:
                self._warm.pop(version.pk, None)
