from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.features import FEATURES
from engine.labels import Labels
from engine.snapshot import market_frame
from engine.validation import Rows
from learning.training import search as search_module
from learning.training.examples import Examples, examples, rows_known
from learning.training.fit import OneClassOnly, TooFewRows, TrainedModel, fit
from learning.training.recipes import Algorithm, Recipe
from learning.training.search import GRIDS, candidates, search
from tests.markets import made_candles, random_candles, real_candles

RECIPE = Recipe(trees=6)


def made(rows: int, noise: bool, seed: int = 0) -> tuple[Examples, Rows]:
    """Labels that are noise, or stripes along the first feature: more of them than a shallow tree has leaves for."""
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(rows, len(FEATURES)))
    stripes = np.floor(3 * matrix[:, 0]) % 3
    values = (random.integers(0, 3, rows) if noise else stripes).astype(np.int8)
    labels = Labels(values, np.arange(rows) + RECIPE.horizon)
    times = pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC")
    return Examples(matrix, labels, np.ones(rows, dtype=bool), times), np.arange(rows - RECIPE.horizon)


def test_what_foretells_better_beyond_chance_is_chosen():
    recipe = Recipe(trees=15)
    found = search(recipe, *made(1500, noise=False))
    assert found.recipe.max_depth == 9
    assert found.margin is not None
    assert found.margin.low > 0
    leaf = found.recipe.min_samples_leaf
    assert found.recipe == replace(recipe, max_depth=9, min_samples_leaf=leaf)
    assert {"max_depth": 9, "min_samples_leaf": leaf} in [dict(trial.fields) for trial in found.trials]


def test_luck_does_not_replace_the_recipe(monkeypatch: pytest.MonkeyPatch):
    """Ten forests that differ in nothing but their seed."""
    monkeypatch.setitem(search_module.GRIDS, Algorithm.RANDOM_FOREST, {"seed": tuple(range(1, 10))})
    recipe = Recipe(trees=3, max_depth=3)
    found = [search(recipe, *made(300, noise=True, seed=seed)).recipe for seed in range(12)]
    assert found.count(recipe) >= 10


def test_half_of_the_field_drops_out_after_each_fold(monkeypatch: pytest.MonkeyPatch):
    fits: list[Recipe] = []

    def counted(recipe: Recipe, *given: np.ndarray) -> TrainedModel:
        fits.append(recipe)
        return fit(recipe, *given)

    monkeypatch.setattr(search_module, "fit", counted)
    found = search(RECIPE, *made(400, noise=True))
    runs = sorted(trial.folds for trial in found.trials)
    assert runs == [1] * 4 + [2] * 2 + [3] * 3
    assert len([one for one in fits if one.trees == RECIPE.trees]) == sum(runs) == 17


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_the_field_is_small_and_begins_with_the_recipe(algorithm: Algorithm):
    recipe = Recipe(algorithm=algorithm, max_depth=5)
    field = list(candidates(recipe))
    assert field[0] == recipe
    assert len(set(field)) == len(field) <= 10
    for one in field:
        assert replace(one, **{name: getattr(recipe, name) for name in GRIDS[algorithm]}) == recipe


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_the_same_seed_finds_the_same(algorithm: Algorithm):
    recipe = Recipe(algorithm=algorithm, trees=3)
    assert search(recipe, *made(300, noise=True)) == search(recipe, *made(300, noise=True))


def test_the_future_is_not_looked_at(real_data: Path):
    candles = real_candles(real_data, "BTCUSDT_1h").iloc[:700]
    changed = candles.copy()
    changed.iloc[501:] *= 1.5
    found = []
    for frame in (candles, changed):
        known = examples(RECIPE, market_frame(frame))
        found.append(search(RECIPE, known, rows_known(RECIPE, known, at=500)))
    assert found[0] == found[1]


def test_a_training_label_does_not_reach_its_test(monkeypatch: pytest.MonkeyPatch):
    known, rows = made(400, noise=True)
    folds = search_module._folds(RECIPE, known, rows)
    assert len(folds) == 3
    for fold in folds:
        assert known.labels.ends[fold.train].max() < fold.test[0] - RECIPE.horizon
        assert np.isin(fold.test, rows).all()


def test_what_cannot_be_searched_is_refused():
    with pytest.raises(TooFewRows):
        search(RECIPE, *made(40, noise=True))
    known = examples(RECIPE, market_frame(made_candles(np.full(400, 100.0))))
    with pytest.raises(OneClassOnly):
        search(RECIPE, known, rows_known(RECIPE, known, at=399))
    known = examples(RECIPE, market_frame(random_candles(40)))
    with pytest.raises(TooFewRows):
        search(RECIPE, known, rows_known(RECIPE, known, at=39))
