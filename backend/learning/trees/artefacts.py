"""A model as bytes that are safe to load, and the one way in which it answers: ONNX, run by ONNX Runtime.

The file holds one TreeEnsembleRegressor; one that holds anything else is refused. Each class has two targets, the upper
and the lower digit of the leaf as whole numbers. float32 adds those up without rounding, so that neither the number of
rows, nor the threads, nor the order of the trees reaches the last bit (`learning.trees.forest`).
"""

import hashlib
import json
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.features import FEATURES
from engine.indicators import Array
from learning.trees.forest import (
    CLASSES,
    LARGEST_WHOLE_SINGLE,
    LEAF,
    Forest,
    ForestError,
    Link,
    complete_rows,
    digit_bits,
    single_precision,
)

FORMAT = "photon-forest-1"
OPERATOR, DOMAIN = "TreeEnsembleRegressor", "ai.onnx.ml"
OPSETS = {"": 18, DOMAIN: 3}
IR_VERSION = 8
DIGITS = 2
TARGETS = CLASSES * DIGITS

# What does not fit into the cache is slower; answers do not depend on it.
ROWS_AT_ONCE = 4096


class ArtefactError(ValueError):
    """Bytes that are not a model of ours."""


def content(artefact: bytes) -> str:
    return hashlib.sha256(artefact).hexdigest()


def to_onnx(forest: Forest) -> bytes:
    """The same forest gives the same bytes. Raises ForestError for values that float32 could not add up exactly."""
    from onnx import TensorProto, helper

    tree = np.repeat(np.arange(forest.trees), np.diff(forest.roots, append=len(forest.feature)))
    own = np.arange(len(forest.feature)) - forest.roots[tree]
    inner = forest.feature != LEAF
    digits = _digits(forest)
    _check_sums(digits, forest)
    leaf, target = _told(digits, inner)
    node = helper.make_node(
        OPERATOR,
        ["features"],
        ["sums"],
        domain=DOMAIN,
        aggregate_function="SUM",
        post_transform="NONE",
        n_targets=TARGETS,
        nodes_treeids=tree.tolist(),
        nodes_nodeids=own.tolist(),
        nodes_modes=np.where(inner, "BRANCH_LEQ", "LEAF").tolist(),
        nodes_featureids=np.where(inner, forest.feature, 0).tolist(),
        nodes_values=forest.threshold.tolist(),
        nodes_truenodeids=np.where(inner, forest.left - forest.roots[tree], 0).tolist(),
        nodes_falsenodeids=np.where(inner, forest.right - forest.roots[tree], 0).tolist(),
        nodes_missing_value_tracks_true=np.zeros(len(own), dtype=int).tolist(),
        nodes_hitrates=forest.cover.tolist(),
        target_treeids=tree[leaf].tolist(),
        target_nodeids=own[leaf].tolist(),
        target_ids=target.tolist(),
        target_weights=digits[leaf, target].tolist(),
    )
    graph = helper.make_graph(
        [node],
        FORMAT,
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(FEATURES)])],
        [helper.make_tensor_value_info("sums", TensorProto.FLOAT, [None, TARGETS])],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="photon")
    helper.set_model_props(model, {"forest": _header(forest)})
    return bytes(model.SerializeToString(deterministic=True))


def from_onnx(artefact: bytes) -> Forest:
    """The forest that `to_onnx` wrote, to the last bit. Raises ArtefactError for anything else."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(artefact)
        node = _only_node(model)
        header = json.loads(next(item.value for item in model.metadata_props if item.key == "forest"))
        forest = _forest({item.name: item for item in node.attribute}, header)
    except (DecodeError, ForestError, KeyError, IndexError, StopIteration, TypeError, ValueError) as error:
        raise ArtefactError(f"not a model of this platform: {error or type(error).__name__}") from error
    if to_onnx(forest) != artefact:
        # Attributes that were not read could still change what ONNX Runtime makes of it.
        raise ArtefactError("not a model of this platform: it says more than its trees")
    return forest


class Scorer:
    """Answers for a forest, warm: one thread and one path, for one row and for a million."""

    def __init__(self, forest: Forest, artefact: bytes | None = None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.forest = forest
        self._session = onnxruntime.InferenceSession(
            artefact or to_onnx(forest), options, providers=["CPUExecutionProvider"]
        )
        bits = digit_bits(forest.trees)
        self._places = np.ldexp(1.0, [forest.exponent + bits, forest.exponent])

    @classmethod
    def load(cls, artefact: bytes) -> "Scorer":
        """Raises ArtefactError."""
        return cls(from_onnx(artefact), artefact)

    def probabilities(self, matrix: Array) -> Array:
        """(n, 3) float64 in the order SELL, HOLD, BUY for (n, 14) features; NaN for a row that is not complete."""
        complete = complete_rows(matrix)
        if complete.all():
            return self._answers(matrix)
        result = np.full((len(matrix), CLASSES), np.nan)
        result[complete] = self._answers(matrix[complete])
        return result

    def _answers(self, matrix: Array) -> Array:
        if len(matrix) <= ROWS_AT_ONCE:
            return self.forest.probabilities(self._sums(matrix))
        result = np.empty((len(matrix), CLASSES))
        for start in range(0, len(matrix), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            result[rows] = self.forest.probabilities(self._sums(matrix[rows]))
        return result

    def _sums(self, matrix: Array) -> Array:
        """What the trees add up to, (n, 3): exact."""
        (digits,) = self._session.run(None, {"features": single_precision(matrix)})
        upper, lower = self._places
        return np.asarray(digits[:, :CLASSES] * upper + digits[:, CLASSES:] * lower)


def _digits(forest: Forest) -> Array:
    """(nodes, 6): the upper digits of the three classes, then the lower ones, which are never negative."""
    bits = digit_bits(forest.trees)
    whole = np.ldexp(forest.leaves, -forest.exponent)
    upper = np.floor(np.ldexp(whole, -bits))
    return np.hstack([upper, whole - np.ldexp(upper, bits)])


def _check_sums(digits: Array, forest: Forest) -> None:
    reachable = np.maximum.reduceat(np.abs(digits), forest.roots, axis=0).sum(axis=0)
    if reachable.max() > LARGEST_WHOLE_SINGLE:
        raise ForestError("the leaves of this forest are too large to add up exactly")


def _told(digits: Array, inner: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The digits that are not zero, by node and target; a leaf that has none says so once."""
    tell = digits != 0
    tell[~inner & ~tell.any(axis=1), 0] = True
    leaf, target = np.nonzero(tell)
    return leaf, target


def _header(forest: Forest) -> str:
    header = {"link": forest.link.value, "offset": forest.offset.tolist(), "exponent": forest.exponent}
    return json.dumps(header, sort_keys=True)


def _only_node(model: Any) -> Any:
    (node,) = model.graph.node
    if (node.op_type, node.domain) != (OPERATOR, DOMAIN):
        raise ValueError(f"it would run {node.op_type}")
    return node


def _forest(attributes: dict[str, Any], header: dict[str, Any]) -> Forest:
    def whole(name: str) -> npt.NDArray[np.int64]:
        return np.array(attributes[name].ints, dtype=np.int64)

    def single(name: str) -> npt.NDArray[np.float32]:
        return np.array(attributes[name].floats, dtype=np.float32)

    tree, own = whole("nodes_treeids"), whole("nodes_nodeids")
    roots = np.flatnonzero(own == 0)
    inner = np.array(attributes["nodes_modes"].strings) == b"BRANCH_LEQ"
    exponent = int(header["exponent"])
    digits = np.zeros((len(own), TARGETS))
    node = roots[whole("target_treeids")] + whole("target_nodeids")
    digits[node, whole("target_ids")] = single("target_weights")
    bits = digit_bits(len(roots))
    leaves = np.ldexp(np.ldexp(digits[:, :CLASSES], bits) + digits[:, CLASSES:], exponent)
    return Forest(
        link=Link(header["link"]),
        roots=roots,
        feature=np.where(inner, whole("nodes_featureids"), LEAF),
        threshold=single("nodes_values"),
        left=np.where(inner, whole("nodes_truenodeids") + roots[tree], LEAF),
        right=np.where(inner, whole("nodes_falsenodeids") + roots[tree], LEAF),
        leaves=leaves,
        cover=single("nodes_hitrates"),
        offset=np.array(header["offset"], dtype=np.float64),
        exponent=exponent,
    )
