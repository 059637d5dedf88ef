"""Model names. This module must not import numpy: every start of the site loads it."""

import re
from dataclasses import dataclass

DEFAULT_HORIZON = 5
NAME = re.compile(r"(?P<algorithm>[a-z_]+)(:h(?P<horizon>[0-9]{1,9}))?(:w(?P<window>[0-9]{1,9}))?")


class RecipeError(ValueError):
    """Invalid parameters of a model."""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The part of a recipe that users choose; as text a model name: `random_forest`, `random_forest:h10:w500`."""

    algorithm: str
    horizon: int = DEFAULT_HORIZON
    window: int | None = None

    def __str__(self) -> str:
        horizon = "" if self.horizon == DEFAULT_HORIZON else f":h{self.horizon}"
        return self.algorithm + horizon + ("" if self.window is None else f":w{self.window}")

    @classmethod
    def named(cls, name: str) -> "ModelChoice":
        """The inverse of `str`. Raises RecipeError."""
        if not (found := NAME.fullmatch(name)):
            raise RecipeError(f"{name!r} is not the name of a model")
        horizon, window = found["horizon"], found["window"]
        return cls(found["algorithm"], int(horizon or DEFAULT_HORIZON), int(window) if window else None)
