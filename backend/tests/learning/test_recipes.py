import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from engine.features import FeatureForm
from learning.recipes import Algorithm, Recipe, RecipeError


def test_the_defaults_are_those_of_the_platform():
    recipe = Recipe()
    assert (recipe.algorithm, recipe.form) == (Algorithm.RANDOM_FOREST, FeatureForm.STATIONARY)
    assert (recipe.horizon, recipe.threshold, recipe.seed, recipe.folds) == (5, 0.005, 42, 5)


def test_names_become_members():
    recipe = Recipe(algorithm="gradient_boosting", form="classic")  # type: ignore[arg-type]
    assert recipe.algorithm is Algorithm.GRADIENT_BOOSTING
    assert recipe.form is FeatureForm.CLASSIC


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"algorithm": "crystal_ball"}, "unknown algorithm 'crystal_ball'; known are random_forest, gradient_boosting"),
        ({"form": "cubist"}, "unknown feature form 'cubist'; known are classic, stationary"),
        ({"threshold_unit": "feet"}, "unknown threshold unit 'feet'; known are price, volatility"),
        ({"horizon": 0}, "horizon must be one or more, not 0"),
        ({"folds": 0}, "folds must be one or more, not 0"),
        ({"trees": -1}, "trees must be one or more, not -1"),
        ({"window": 0}, "window must be one or more, not 0"),
        ({"threshold": -0.1}, "threshold must be a number, zero or more, not -0.1"),
        ({"threshold": float("nan")}, "threshold must be a number, zero or more, not nan"),
        ({"threshold": float("inf")}, "threshold must be a number, zero or more, not inf"),
        ({"seed": -1}, "seed must be from 0 to 4294967295, not -1"),
        ({"seed": 2**32}, "seed must be from 0 to 4294967295, not 4294967296"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(fields: dict[str, Any], message: str):
    with pytest.raises(RecipeError) as caught:
        Recipe(**fields)
    assert str(caught.value) == message


def test_a_recipe_does_not_change_and_can_be_a_key():
    with pytest.raises(FrozenInstanceError):
        Recipe().seed = 7  # type: ignore[misc]
    assert {Recipe(): "same"}[Recipe()] == "same"


@pytest.mark.parametrize("module", ["recipes", "training", "walkforward", "evaluation"])
def test_importing_does_not_wait_for_scikit_learn(module: str):
    script = f"import sys, learning.{module}; print('sklearn' in sys.modules)"
    command = [sys.executable, "-c", script]
    folder = Path(__file__).resolve().parents[2]
    assert subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout == "False\n"
