"""A model as bytes: exact, the same for one row and for many, and refused when it is anything else."""

import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest

from learning.training.fit import TrainedModel, fit
from learning.training.recipes import Algorithm, Recipe
from learning.training.train import UnfaithfulArtefact, check_faithful
from learning.trees.artefacts import ROWS_AT_ONCE, ArtefactError, Scorer, from_onnx, to_onnx
from learning.trees.forest import LEAF, Forest, ForestError, digit_bits
from tests.markets import assert_same_bits

BACKEND = Path(__file__).resolve().parents[2]
CASES = [(algorithm, classes) for algorithm in Algorithm for classes in ((0, 1, 2), (0, 2))]


def rows(count: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 14))


@cache
def trained(algorithm: Algorithm, classes: tuple[int, ...] = (0, 1, 2), trees: int = 30) -> TrainedModel:
    random = np.random.default_rng(1)
    matrix = random.normal(size=(600, 14))
    drawn = np.clip(np.rint(matrix[:, 0] + random.normal(size=600)) + 1, 0, 2).astype(int)
    values = np.array([classes[value % len(classes)] for value in drawn], dtype=np.int8)
    return fit(Recipe(algorithm=algorithm, trees=trees), matrix, values)


@cache
def everything(algorithm: Algorithm) -> np.ndarray:
    return trained(algorithm).scorer.probabilities(rows(100_000))


@pytest.mark.parametrize(("algorithm", "classes"), CASES)
def test_it_answers_as_scikit_learn_does(algorithm, classes):
    model = trained(algorithm, classes)
    matrix = rows(5000)
    told = model.probabilities(matrix)
    np.testing.assert_allclose(told, model.library_probabilities(matrix), rtol=0, atol=1e-8)
    np.testing.assert_allclose(told.sum(axis=1), 1.0, rtol=0, atol=1e-15)
    assert all((told[:, action] == 0).all() for action in {0, 1, 2} - set(classes))


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize("count", [1, 2, 3, 50, 1000, ROWS_AT_ONCE + 1])
def test_one_row_and_a_batch_of_any_size_give_the_same_bits(algorithm, count):
    scorer, matrix = trained(algorithm).scorer, rows(100_000)
    batches = [scorer.probabilities(matrix[start : start + count]) for start in range(0, min(100 * count, 9000), count)]
    together = np.vstack(batches)
    assert_same_bits(together, everything(algorithm)[: len(together)])


@pytest.mark.parametrize("algorithm", Algorithm)
def test_the_sum_of_the_leaves_is_exact_in_any_order(algorithm):
    """Walked tree by tree, forwards, backwards and in Python's own integers."""
    scorer = trained(algorithm).scorer
    forest, matrix = scorer.forest, rows(20)
    for row, told in zip(matrix, scorer.probabilities(matrix), strict=True):
        leaves = np.array([leaf_of(forest, root, row.astype(np.float32)) for root in forest.roots])
        forwards = backwards = np.zeros(3)
        for leaf in leaves:
            forwards = forwards + forest.leaves[leaf]
        for leaf in leaves[::-1]:
            backwards = backwards + forest.leaves[leaf]
        assert_same_bits(forwards, backwards)
        assert_same_bits(forest.probabilities(forwards[None])[0], told)


def leaf_of(forest: Forest, node: int, row: np.ndarray) -> int:
    while forest.feature[node] != LEAF:
        goes_left = row[forest.feature[node]] <= forest.threshold[node]
        node = forest.left[node] if goes_left else forest.right[node]
    return int(node)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_row_on_a_threshold_goes_the_way_it_goes_in_scikit_learn(algorithm):
    model = trained(algorithm)
    forest = model.scorer.forest
    inner = np.flatnonzero(forest.feature != LEAF)[:500]
    matrix = rows(inner.size)
    matrix[np.arange(inner.size), forest.feature[inner]] = forest.threshold[inner]
    matrix = np.vstack([matrix, np.nextafter(matrix.astype(np.float32), np.float32(np.inf))])
    np.testing.assert_allclose(model.probabilities(matrix), model.library_probabilities(matrix), rtol=0, atol=1e-8)


@pytest.mark.parametrize(("algorithm", "classes"), CASES)
def test_the_bytes_give_the_same_forest_back(algorithm, classes):
    forest = trained(algorithm, classes).scorer.forest
    artefact = to_onnx(forest)
    again = from_onnx(artefact)
    for name in ("roots", "feature", "threshold", "left", "right", "leaves", "cover", "offset"):
        assert_same_bits(getattr(again, name), getattr(forest, name))
    assert (again.link, again.exponent) == (forest.link, forest.exponent)
    assert_same_bits(Scorer.load(artefact).probabilities(rows(100)), Scorer(forest).probabilities(rows(100)))


def test_the_same_training_gives_the_same_bytes():
    matrix, values = rows(300), (rows(300)[:, 0] > 0).astype(np.int8)
    for algorithm in Algorithm:
        first, second = (fit(Recipe(algorithm=algorithm, trees=10), matrix, values) for _ in range(2))
        assert to_onnx(first.scorer.forest) == to_onnx(second.scorer.forest)


def test_a_row_that_is_not_complete_has_no_answer():
    matrix = rows(5)
    matrix[1, 3], matrix[2, 0], matrix[3, 13] = np.nan, np.inf, 1e39
    told = trained(Algorithm.RANDOM_FOREST).probabilities(matrix)
    assert np.isnan(told).all(axis=1).tolist() == [False, True, True, True, False]
    assert_same_bits(told[0], trained(Algorithm.RANDOM_FOREST).probabilities(matrix[:1])[0])


def test_an_artefact_that_answers_otherwise_is_refused():
    model = trained(Algorithm.RANDOM_FOREST)
    forest = model.scorer.forest
    check_faithful(model, to_onnx(forest), rows(500))
    moved = forest.threshold.copy()
    moved[0] += np.float32(0.5)
    with pytest.raises(UnfaithfulArtefact, match="from those of the trained model; 1e-06 is allowed"):
        check_faithful(model, to_onnx(replace(forest, threshold=moved)), rows(500))


def test_only_its_own_bytes_are_loaded():
    artefact = to_onnx(trained(Algorithm.RANDOM_FOREST, trees=3).scorer.forest)
    for broken in (b"", b"not a model", artefact[:-1], artefact[: len(artefact) // 2], b"\x80\x04" + artefact):
        with pytest.raises(ArtefactError, match="not a model of this platform"):
            Scorer.load(broken)


def changed(artefact: bytes, change) -> bytes:
    model = onnx.load_model_from_string(artefact)
    change(model)
    return model.SerializeToString(deterministic=True)


def attribute(model, name: str):
    return next(item for item in model.graph.node[0].attribute if item.name == name)


def another_operator(model) -> None:
    model.graph.node[0].op_type = "TreeEnsembleClassifier"


def a_second_node(model) -> None:
    model.graph.node.add().CopyFrom(model.graph.node[0])


def a_circle(model) -> None:
    attribute(model, "nodes_truenodeids").ints[0] = 0


def a_child_far_away(model) -> None:
    attribute(model, "nodes_falsenodeids").ints[0] = 10**6


def an_unknown_feature(model) -> None:
    attribute(model, "nodes_featureids").ints[0] = 14


def base_values(model) -> None:
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("base_values", [1.0] * 6))


def outside_data(model) -> None:
    model.graph.initializer.add().external_data.add(key="location", value="/etc/passwd")


def no_header(model) -> None:
    del model.metadata_props[:]


@pytest.mark.parametrize(
    "change",
    [
        another_operator, a_second_node, a_circle, a_child_far_away, an_unknown_feature, base_values, outside_data,
        no_header,
    ],
)  # fmt: skip
def test_a_graph_that_says_anything_else_is_refused(change):
    artefact = to_onnx(trained(Algorithm.RANDOM_FOREST, trees=3).scorer.forest)
    with pytest.raises(ArtefactError):
        Scorer.load(changed(artefact, change))


def test_an_estimator_without_trees_is_refused():
    with pytest.raises(ForestError, match="dict has no stored form"):
        Forest.of({})


def test_leaves_too_large_to_add_up_are_refused():
    forest = trained(Algorithm.GRADIENT_BOOSTING, trees=3).scorer.forest
    too_large = replace(forest, leaves=forest.leaves * 2.0 ** digit_bits(3))
    with pytest.raises(ForestError, match="too large to add up exactly"):
        to_onnx(too_large)


def test_answering_loads_neither_scikit_learn_nor_a_converter(tmp_path):
    (tmp_path / "model.onnx").write_bytes(to_onnx(trained(Algorithm.RANDOM_FOREST, trees=3).scorer.forest))
    script = (
        "import sys, numpy, pathlib; from learning.trees.artefacts import Scorer\n"
        "scorer = Scorer.load(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "assert scorer.probabilities(numpy.zeros((1, 14))).shape == (1, 3)\n"
        "print([name for name in ('sklearn', 'skl2onnx', 'skops', 'scipy') if name in sys.modules])"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "model.onnx")]
    done = subprocess.run(command, cwd=BACKEND, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
