"""What a model is made of: everything that has to be known to train the same model again."""

from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import TypeVar

from engine.features import FeatureForm
from learning.choice import DEFAULT_HORIZON, RecipeError

Name = TypeVar("Name", bound=StrEnum)

LARGEST_SEED = 2**32 - 1


class Algorithm(StrEnum):
    RANDOM_FOREST = "random_forest"
    GRADIENT_BOOSTING = "gradient_boosting"


class ThresholdUnit(StrEnum):
    PRICE = "price"
    """A fraction of the price: 0.005 is 0.5 %, in every market alike."""

    VOLATILITY = "volatility"
    """Multiples of the 20-candle volatility at the row: about as many HOLDs in a calm market as in a wild one."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """`threshold` is a fraction of the price (0.005 is 0.5 %) or what its unit says; `horizon` counts candles.

    A model trains on the last `window` candles whose label is known, on all of them if None.
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

    def __post_init__(self) -> None:
        # Names come from forms and command lines; a plain string becomes its enum member.
        object.__setattr__(self, "algorithm", _member(Algorithm, self.algorithm, "algorithm"))
        object.__setattr__(self, "form", _member(FeatureForm, self.form, "feature form"))
        object.__setattr__(self, "threshold_unit", _member(ThresholdUnit, self.threshold_unit, "threshold unit"))
        for name in ("horizon", "folds", "trees"):
            _check_at_least_one(name, getattr(self, name))
        if self.window is not None:
            _check_at_least_one("window", self.window)
        if not (isfinite(self.threshold) and self.threshold >= 0):
            raise RecipeError(f"threshold must be a number, zero or more, not {self.threshold}")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise RecipeError(f"seed must be from 0 to {LARGEST_SEED}, not {self.seed}")


def _member(names: type[Name], value: str, what: str) -> Name:
    if value not in list(names):
        raise RecipeError(f"unknown {what} {value!r}; known are {', '.join(names)}")
    return names(value)


def _check_at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise RecipeError(f"{name} must be one or more, not {value}")
