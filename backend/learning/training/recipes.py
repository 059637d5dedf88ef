"""What a model is made of: everything that has to be known to train the same model again."""

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
        """Whether each tree learns what those before it left over, by `learning_rate`."""
        return self is not Algorithm.RANDOM_FOREST


@dataclass(frozen=True, slots=True)
class Growth:
    """How far the trees of an algorithm grow, where a recipe does not say."""

    max_depth: int
    min_samples_leaf: int
    learning_rate: float | None = None


# Shallow trees: deeper ones foretold no better out of sample, took longer, and would grow with the history.
GROWTH = {
    Algorithm.RANDOM_FOREST: Growth(max_depth=6, min_samples_leaf=10),
    Algorithm.GRADIENT_BOOSTING: Growth(max_depth=3, min_samples_leaf=10, learning_rate=0.05),
    Algorithm.HIST_GRADIENT_BOOSTING: Growth(max_depth=3, min_samples_leaf=20, learning_rate=0.05),
}

# A tree of this depth has up to 65,536 leaves.
LARGEST_DEPTH = 16


class ThresholdUnit(StrEnum):
    PRICE = "price"
    """A fraction of the price: 0.005 is 0.5 %, in every market alike."""

    VOLATILITY = "volatility"
    """Multiples of the 20-candle volatility at the row: about as many HOLDs in a calm market as in a wild one."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """`threshold` is a fraction of the price (0.005 is 0.5 %) or what its unit says; `horizon` counts candles.

    A model trains on the last `window` candles whose label is known, on all of them if None. What is None among
    `max_depth`, `min_samples_leaf` and `learning_rate` becomes the value of the algorithm, so that a stored recipe says
    it all; a forest has no learning rate.
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
        # Names come from forms and command lines; a plain string becomes its enum member.
        object.__setattr__(self, "algorithm", _member(Algorithm, self.algorithm, "algorithm"))
        object.__setattr__(self, "form", _member(FeatureForm, self.form, "feature form"))
        object.__setattr__(self, "threshold_unit", _member(ThresholdUnit, self.threshold_unit, "threshold unit"))
        object.__setattr__(self, "calibration", _member(Method, self.calibration, "calibration"))
        for name, usual in asdict(GROWTH[self.algorithm]).items():
            object.__setattr__(self, name, usual if getattr(self, name) is None else getattr(self, name))
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
