"""Which model is meant. No numpy is loaded here: every start of the site reads this."""

import re
from dataclasses import dataclass

DEFAULT_HORIZON = 5
NAME = re.compile(r"(?P<algorithm>[a-z_]+)(:h(?P<horizon>[0-9]{1,9}))?(:w(?P<window>[0-9]{1,9}))?")


class RecipeError(ValueError):
    """A recipe that no model can be made from."""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """What a user chooses of a recipe. As text it is the name of a model: `random_forest`, `random_forest:h10:w500`."""

    algorithm: str
    horizon: int = DEFAULT_HORIZON
    window: int | None = None

    def __str__(self) -> str:
        horizon = "" if self.horizon == DEFAULT_HORIZON else f":h{self.horizon}"
        return self.algorithm + horizon + ("" if self.window is None else f":w{self.window}")

    @classmethod
    def named(cls, name: str) -> "ModelChoice":
        """Raises RecipeError for what is not the text of a choice."""
        if not (found := NAME.fullmatch(name)):
            raise RecipeError(f"{name!r} is not the name of a model")
        horizon, window = found["horizon"], found["window"]
        return cls(found["algorithm"], int(horizon or DEFAULT_HORIZON), int(window) if window else None)
