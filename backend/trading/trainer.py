"""The first model of each market: it has to be there before the first candle is decided on."""

import logging
from dataclasses import dataclass, field, replace
from threading import Thread
from time import monotonic

from django.conf import settings
from django.db import connection

from learning.choice import ModelChoice
from learning.models import ModelVersion
from learning.recipes import Algorithm, Recipe, RecipeError, ThresholdUnit
from learning.services import train_version
from learning.serving import Predictor, newest_version
from learning.training import TrainingError
from trading import journal
from trading.agents.integration import OUTAGES
from trading.models import TradingSettings
from trading.pipeline import Market

logger = logging.getLogger(__name__)

RETRY_SECONDS = 60.0

Wanted = tuple[Market, str]


def wanted_models(market: Market) -> list[str]:
    """The names of the models that running accounts want for a market."""
    accounts = TradingSettings.objects.filter(
        status=TradingSettings.Status.RUNNING,
        interval=market.interval,
        account__follows__symbol=market.symbol,
        account__follows__is_active=True,
    )
    return sorted({row.model_name for row in accounts})


def missing_models(market: Market) -> list[str]:
    """Those among the wanted that were never trained."""
    return [name for name in wanted_models(market) if newest_version(market.symbol, market.interval, name) is None]


def warm_up(market: Market, predictor: Predictor) -> None:
    """Loads the models that the next decisions in a market need."""
    for model_type in wanted_models(market):
        if version := newest_version(market.symbol, market.interval, model_type):
            predictor.warm(version)


def train(market: Market, model_type: str) -> ModelVersion | None:
    """Trains on the stored history and tells the followers. None, and they are told why, when it cannot be done."""
    try:
        version = train_version(market.symbol, market.interval, recipe_for(model_type))
    except (TrainingError, RecipeError) as error:
        logger.warning("%s at %s: no %s model: %s", market.symbol, market.interval, model_type, error)
        journal.not_trained(market.symbol, market.interval, model_type, error)
        return None
    journal.trained(market.symbol, market.interval, version)
    return version


def recipe_for(name: str) -> Recipe:
    """Raises RecipeError for a model that is not trained."""
    choice, percent = ModelChoice.named(name), settings.MODEL_THRESHOLD_PERCENT
    if choice.algorithm not in list(Algorithm):
        raise RecipeError(f"{choice.algorithm} is not trained; known are {', '.join(Algorithm)}")
    recipe = Recipe(algorithm=Algorithm(choice.algorithm), horizon=choice.horizon, window=choice.window)
    return recipe if percent is None else replace(recipe, threshold=percent / 100, threshold_unit=ThresholdUnit.PRICE)


@dataclass
class Trainer:
    """Trains and loads models in one thread beside the loop, so that the other markets go on meanwhile.

    The thread is a daemon: a fit cannot be interrupted, and a stop must not wait for it. Nothing is lost by that,
    because a version is written in one statement at the end.
    """

    predictor: Predictor
    tried: dict[Wanted, float] = field(default_factory=dict)
    thread: Thread | None = None

    def ready(self, market: Market) -> bool:
        """Whether the market may be played: each of its models is warm, or was tried in vain a short while ago."""
        if self.busy and self.thread is not None and self.thread.name == _name(market):
            return False
        cold = [name for name in wanted_models(market) if self._is_to_be_loaded(market, name)]
        if cold and not self.busy:
            self._start(market, cold[0])
        return not cold

    @property
    def busy(self) -> bool:
        return self.thread is not None and self.thread.is_alive()

    def _is_to_be_loaded(self, market: Market, model_type: str) -> bool:
        version = newest_version(market.symbol, market.interval, model_type)
        if version is not None and self.predictor.is_warm(version):
            return False
        return monotonic() - self.tried.get((market, model_type), -RETRY_SECONDS) >= RETRY_SECONDS

    def _start(self, market: Market, model_type: str) -> None:
        self.tried[market, model_type] = monotonic()
        self.thread = Thread(target=self._load, args=(market, model_type), name=_name(market), daemon=True)
        self.thread.start()

    def _load(self, market: Market, model_type: str) -> None:
        try:
            version = newest_version(market.symbol, market.interval, model_type) or train(market, model_type)
            if version is not None:
                self.predictor.warm(version)
        except OUTAGES as error:
            logger.warning("training for %s waits for the database: %s", market.symbol, error)
            self.tried.pop((market, model_type), None)
        except Exception as error:
            # The outermost edge of this thread: without this line the market would wait and nobody would know why.
            logger.exception("training for %s failed", market.symbol)
            journal.not_trained(market.symbol, market.interval, model_type, error)
        finally:
            # Connections belong to their thread.
            connection.close()


def _name(market: Market) -> str:
    return f"training {market.symbol} {market.interval}"
