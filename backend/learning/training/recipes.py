"""Recipes: all parameters that are needed to train the same model again."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from math import isfinite
from typing import TypeVar

from engine.features import FeatureForm
from learning.choice import DEFAULT_HORIZON, RecipeError
from learning.training.calibration import Method

Name = TypeVar("Name", bound=StrEnum)

LARGEST_SEED = 2**32 - 1


class Algorithm(StrEnum):
    RANDOM_FOREST = "random_forest"
    GRADIENT_BOOSTING = "gradient_boosting"
    HIST_GRADIENT_BOOSTING = "hist_gradient_boosting"

    @property
    def boosts(self) -> bool:
        """Whether trees are fitted to the residuals of earlier ones, scaled by `learning_rate`."""
        return self is not Algorithm.RANDOM_FOREST


@dataclass(frozen=True, slots=True)
class Growth:
    """Default tree parameters of an algorithm."""

    max_depth: int
    min_samples_leaf: int
    learning_rate: float | None = None


# Shallow trees: deeper ones predicted no better out of sample, took longer, and would grow with the history.
GROWTH = {
    Algorithm.RANDOM_FOREST: Growth(max_depth=6, min_samples_leaf=10),
    Algorithm.GRADIENT_BOOSTING: Growth(max_depth=3, min_samples_leaf=10, learning_rate=0.05),
    Algorithm.HIST_GRADIENT_BOOSTING: Growth(max_depth=3, min_samples_leaf=20, learning_rate=0.05),
}

# A tree of this depth has up to 65,536 leaves.
LARGEST_DEPTH = 16


class ThresholdUnit(StrEnum):
    PRICE = "price"
    """A fraction of the price, the same in every market: 0.005 is 0.5 %."""

    VOLATILITY = "volatility"
    """Multiples of the 20-candle volatility at the row, so that the share of HOLD depends less on the market."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """`threshold` is in `threshold_unit`; `horizon` is in candles.

    A model trains on the last `window` candles with a known label, on all of them if None. None for `max_depth`,
    `min_samples_leaf` or `learning_rate` is replaced by the default of the algorithm, so that a stored recipe is
    complete; a random forest has no learning rate.
    """

    algorithm: Algorithm = Algorithm.RANDOM_FOREST
    form: FeatureForm = FeatureForm.STATIONARY
    horizon: int = DEFAULT_HORIZON
    threshold: float = 0.005
    threshold_unit: ThresholdUnit = ThresholdUnit.PRICE
    seed: int = 42
    folds: int = 5
    window: int | None = None
    trees: int = 200
    max_depth: int | None = None
    min_samples_leaf: int | None = None
    learning_rate: float | None = None
    calibration: Method = Method.SIGMOID

    def __post_init__(self) -> None:
        # Forms, command lines and stored recipes give plain strings.
        object.__setattr__(self, "algorithm", _member(Algorithm, self.algorithm, "algorithm"))
        object.__setattr__(self, "form", _member(FeatureForm, self.form, "feature form"))
        object.__setattr__(self, "threshold_unit", _member(ThresholdUnit, self.threshold_unit, "threshold unit"))
        object.__setattr__(self, "calibration", _member(Method, self.calibration, "calibration"))
        for name, default in asdict(GROWTH[self.algorithm]).items():
            object.__setattr__(self, name, default if getattr(self, name) is None else getattr(self, name))
        for name in ("horizon", "folds", "trees", "max_depth", "min_samples_leaf"):
            _check_at_least_one(name, getattr(self, name))
        if self.window is not None:
            _check_at_least_one("window", self.window)
        if not (isfinite(self.threshold) and self.threshold >= 0):
            raise RecipeError(f"threshold must be a number, zero or more, not {self.threshold}")
        if self.max_depth is not None and self.max_depth > LARGEST_DEPTH:
            raise RecipeError(f"max_depth must be at most {LARGEST_DEPTH}, not {self.max_depth}")
        self._check_learning_rate()
        if not 0 <= self.seed <= LARGEST_SEED:
            raise RecipeError(f"seed must be from 0 to {LARGEST_SEED}, not {self.seed}")

    def _check_learning_rate(self) -> None:
        if self.learning_rate is None:
            return
        if not self.algorithm.boosts:
            raise RecipeError(f"a {self.algorithm} has no learning rate")
        if not 0 < self.learning_rate <= 1:
            raise RecipeError(f"learning_rate must be above 0 and at most 1, not {self.learning_rate}")


def _member(names: type[Name], value: str, what: str) -> Name:
    if value not in list(names):
        raise RecipeError(f"unknown {what} {value!r}; known are {', '.join(names)}")
    return names(value)


def _check_at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise RecipeError(f"{name} must be one or more, not {value}")
