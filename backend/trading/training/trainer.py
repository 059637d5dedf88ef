"""Training for the agents: the first models of each market, which its first decision needs, and requests of users."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Thread
from time import monotonic

from django.conf import settings
from django.db import connection

from engine.candles import CandleError
from learning.choice import ModelChoice
from learning.models import ModelVersion
from learning.registry.requests import begin_training, finish_training
from learning.registry.selectors import champion, is_missing, waiting_trainings
from learning.registry.services import Make, train_version
from learning.registry.serving import Predictor
from learning.training.fit import TrainingError
from learning.training.process import train_in_process
from learning.training.recipes import Algorithm, Recipe, RecipeError, ThresholdUnit
from learning.training.train import train_and_score
from market.errors import MarketError
from trading.agents import journal
from trading.messages.adapter import OUTAGES
from trading.models import TradingSettings
from trading.selectors.markets import Market

logger = logging.getLogger(__name__)

RETRY_SECONDS = 60.0
POLL_SECONDS = 1.0
LEARN_SECONDS = 10.0

Prepare = Callable[[Market], None]
MarketModel = tuple[Market, str]


def wanted_models(market: Market) -> list[str]:
    """The names of the models that running accounts use in a market."""
    accounts = TradingSettings.objects.filter(
        status=TradingSettings.Status.RUNNING,
        interval=market.interval,
        account__follows__symbol=market.symbol,
        account__follows__is_active=True,
    )
    return sorted({row.model_name for row in accounts})


def missing_models(market: Market) -> list[str]:
    """The models in use that were never trained, or not on features as they are computed today."""
    return [name for name in wanted_models(market) if is_missing(market.symbol, market.interval, name)]


def warm_up(market: Market, predictor: Predictor) -> None:
    """Loads the models that the next decisions in a market need."""
    for name in wanted_models(market):
        if version := champion(market.symbol, market.interval, name):
            predictor.usable(version)


def train(market: Market, model_type: str, make: Make = train_and_score) -> ModelVersion | None:
    """Trains on the stored history and logs it for the followers; None, with the reason logged, when it fails."""
    try:
        version = train_version(market.symbol, market.interval, recipe_for(model_type), make=make)
    except (TrainingError, RecipeError) as error:
        logger.warning("%s at %s: no %s model: %s", market.symbol, market.interval, model_type, error)
        journal.not_trained(market.symbol, market.interval, model_type, error)
        return None
    journal.trained(market.symbol, market.interval, version)
    return version


def train_requested(prepare: Prepare, make: Make = train_and_score) -> bool:
    """Runs the oldest training that was requested; False if none waits. `prepare` stores its candles.

    The result or the error is stored on the request. Raises OUTAGES and unexpected errors.
    """
    if (task := begin_training()) is None:
        return False
    try:
        prepare(Market(task.symbol, task.interval))
        version = train_version(task.symbol, task.interval, recipe_for(task.name), make=make)
    except (TrainingError, RecipeError, MarketError, CandleError) as error:
        finish_training(task, None, str(error))
    except OUTAGES:
        raise
    except Exception as error:
        finish_training(task, None, f"an error of the platform: {type(error).__name__}")
        raise
    else:
        finish_training(task, version)
        journal.trained(task.symbol, task.interval, version)
    return True


def recipe_for(name: str) -> Recipe:
    """Raises RecipeError for a model that is not trained."""
    choice, percent = ModelChoice.named(name), settings.MODEL_THRESHOLD_PERCENT
    if choice.algorithm not in list(Algorithm):
        raise RecipeError(f"{choice.algorithm} is not trained; known are {', '.join(Algorithm)}")
    recipe = Recipe(algorithm=Algorithm(choice.algorithm), horizon=choice.horizon, window=choice.window)
    return recipe if percent is None else replace(recipe, threshold=percent / 100, threshold_unit=ThresholdUnit.PRICE)


@dataclass
class Trainer:
    """Trains and loads models in one thread, so that the loop goes on with other markets.

    The thread waits for the process that trains (`learning.training.process`). It is a daemon: a stop must not wait
    for it, and loses nothing, because a version is written in one transaction.
    """

    predictor: Predictor
    prepare: Prepare = lambda market: None
    make: Make = train_in_process
    tried: dict[MarketModel, float] = field(default_factory=dict)
    thread: Thread | None = None
    polled: float = -POLL_SECONDS
    # Continuous learning (`trading.training.continuous`), every LEARN_SECONDS.
    learn: Callable[[], None] | None = None
    learned: float = field(default_factory=monotonic)

    def ready(self, market: Market) -> bool:
        """Whether the market may go on: each of its models is loaded, or failed less than RETRY_SECONDS ago."""
        if self.busy and self.thread is not None and self.thread.name == _name(market):
            return False
        cold = [name for name in wanted_models(market) if self._is_to_be_loaded(market, name)]
        if cold and not self.busy:
            self.tried[market, cold[0]] = monotonic()
            self._start(_name(market), lambda: self._load(market, cold[0]))
        return not cold

    def work(self) -> None:
        """Starts a requested training, or continuous learning, if nothing else is being trained."""
        if self.busy or monotonic() - self.polled < POLL_SECONDS:
            return
        self.polled = monotonic()
        if waiting_trainings().exists():
            self._start("training on request", lambda: train_requested(self.prepare, self.make))
        elif self.learn is not None and monotonic() - self.learned >= LEARN_SECONDS:
            self.learned = monotonic()
            self._start("continuous learning", self.learn)

    @property
    def busy(self) -> bool:
        return self.thread is not None and self.thread.is_alive()

    def _is_to_be_loaded(self, market: Market, model_type: str) -> bool:
        version = champion(market.symbol, market.interval, model_type)
        if version is not None and self.predictor.is_warm(version):
            return False
        return monotonic() - self.tried.get((market, model_type), -RETRY_SECONDS) >= RETRY_SECONDS

    def _start(self, name: str, work: Callable[[], object]) -> None:
        self.thread = Thread(target=self._run, args=(name, work), name=name, daemon=True)
        self.thread.start()

    def _load(self, market: Market, model_type: str) -> None:
        try:
            if is_missing(market.symbol, market.interval, model_type):
                self.prepare(market)
                train(market, model_type, self.make)
            if version := champion(market.symbol, market.interval, model_type):
                self.predictor.usable(version)
        except OUTAGES:
            self.tried.pop((market, model_type), None)
            raise
        except Exception as error:
            # Shown to the followers: their market waits for the model.
            journal.not_trained(market.symbol, market.interval, model_type, error)
            raise

    def _run(self, name: str, work: Callable[[], object]) -> None:
        """The outermost edge of the thread."""
        try:
            work()
        except OUTAGES as error:
            logger.warning("%s waits for the database: %s", name, error)
        except Exception:
            logger.exception("%s failed", name)
        finally:
            # Connections belong to their thread.
            connection.close()


def _name(market: Market) -> str:
    return f"training {market.symbol} {market.interval}"
