import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, asdict, astuple
from pathlib import Path
from typing import Any

import pytest

from engine.features import FeatureForm
from learning.training.recipes import GROWTH, Algorithm, Growth, Recipe, RecipeError


def test_the_defaults_are_those_of_the_platform():
    recipe = Recipe()
    assert (recipe.algorithm, recipe.form) == (Algorithm.RANDOM_FOREST, FeatureForm.STATIONARY)
    assert (recipe.horizon, recipe.threshold, recipe.seed, recipe.folds) == (5, 0.005, 42, 5)


def test_names_become_members():
    recipe = Recipe(algorithm="gradient_boosting", form="classic")
    assert recipe.algorithm is Algorithm.GRADIENT_BOOSTING
    assert recipe.form is FeatureForm.CLASSIC


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"algorithm": "crystal_ball"}, "unknown algorithm 'crystal_ball'; known are " + ", ".join(Algorithm)),
        ({"form": "cubist"}, "unknown feature form 'cubist'; known are classic, stationary"),
        ({"threshold_unit": "feet"}, "unknown threshold unit 'feet'; known are price, volatility"),
        ({"horizon": 0}, "horizon must be one or more, not 0"),
        ({"folds": 0}, "folds must be one or more, not 0"),
        ({"max_depth": 0}, "max_depth must be one or more, not 0"),
        ({"max_depth": 17}, "max_depth must be at most 16, not 17"),
        ({"min_samples_leaf": 0}, "min_samples_leaf must be one or more, not 0"),
        ({"learning_rate": 0.1}, "a random_forest has no learning rate"),
        (
            {"learning_rate": 0.0, "algorithm": "gradient_boosting"},
            "learning_rate must be above 0 and at most 1, not 0.0",
        ),
        (
            {"learning_rate": float("nan"), "algorithm": "gradient_boosting"},
            "learning_rate must be above 0 and at most 1, not nan",
        ),
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
        Recipe().seed = 7
    assert {Recipe(): "same"}[Recipe()] == "same"


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_what_is_not_said_is_the_custom_of_the_algorithm(algorithm: Algorithm):
    recipe = Recipe(algorithm=algorithm)
    assert (recipe.max_depth, recipe.min_samples_leaf, recipe.learning_rate) == astuple(GROWTH[algorithm])
    assert (recipe.learning_rate is None) is not algorithm.boosts
    assert Recipe(algorithm=algorithm, max_depth=2).max_depth == 2


def test_a_stored_recipe_says_it_all(monkeypatch: pytest.MonkeyPatch):
    stored = json.loads(json.dumps(asdict(Recipe(algorithm=Algorithm.GRADIENT_BOOSTING))))
    monkeypatch.setitem(GROWTH, Algorithm.GRADIENT_BOOSTING, Growth(9, 9, 0.9))
    assert Recipe(**stored).max_depth == 3


@pytest.mark.parametrize("module", ["training.fit", "training.recipes", "training.walk_forward", "scores.evaluation"])
def test_importing_does_not_wait_for_scikit_learn(module: str):
    script = f"import sys, learning.{module}; print('sklearn' in sys.modules)"
    command = [sys.executable, "-c", script]
    folder = Path(__file__).resolve().parents[2]
    assert subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout == "False\n"
