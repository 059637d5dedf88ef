"""The stored form of a model: ONNX, which is safe to load, evaluated by ONNX Runtime.

The file holds one TreeEnsembleRegressor; anything else is refused. Each class has two targets, the upper and the lower
digit of the leaf value as integers. float32 adds those without rounding, so that the result does not depend on the
number of rows, on threads or on the order of the trees (`learning.trees.forest`).
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

# Larger batches do not fit into the CPU cache and are slower; results do not depend on it.
ROWS_AT_ONCE = 4096


class ArtefactError(ValueError):
    """Bytes that are not a model of this platform."""


def artefact_hash(artefact: bytes) -> str:
    return hashlib.sha256(artefact).hexdigest()


def to_onnx(forest: Forest) -> bytes:
    """The same forest gives the same bytes. Raises ForestError for values that float32 could not add up exactly."""
    from onnx import TensorProto, helper

    tree = np.repeat(np.arange(forest.trees), np.diff(forest.roots, append=len(forest.feature)))
    own = np.arange(len(forest.feature)) - forest.roots[tree]
    inner = forest.feature != LEAF
    digits = _digits(forest)
    _check_sums(digits, forest)
    leaf, target = _weights(digits, inner)
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
    """The inverse of `to_onnx`, to the last bit. Raises ArtefactError for anything else."""
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
        # Attributes that were not read could still change the result of ONNX Runtime.
        raise ArtefactError("not a model of this platform: it holds more than its trees")
    return forest


class Scorer:
    """A loaded forest: one thread and one code path, for one row and for a million."""

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
        """(n, 3) float64 in the order SELL, HOLD, BUY for (n, 14) features; NaN for an incomplete row."""
        complete = complete_rows(matrix)
        if complete.all():
            return self._in_batches(matrix)
        result = np.full((len(matrix), CLASSES), np.nan)
        result[complete] = self._in_batches(matrix[complete])
        return result

    def _in_batches(self, matrix: Array) -> Array:
        if len(matrix) <= ROWS_AT_ONCE:
            return self.forest.probabilities(self._sums(matrix))
        result = np.empty((len(matrix), CLASSES))
        for start in range(0, len(matrix), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            result[rows] = self.forest.probabilities(self._sums(matrix[rows]))
        return result

    def _sums(self, matrix: Array) -> Array:
        """The exact sums over the trees, (n, 3)."""
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


def _weights(digits: Array, inner: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Node and target of the digits that are stored: those not zero, and one for a leaf of zeros, which needs one."""
    stored = digits != 0
    stored[~inner & ~stored.any(axis=1), 0] = True
    leaf, target = np.nonzero(stored)
    return leaf, target


def _header(forest: Forest) -> str:
    header = {"link": forest.link.value, "offset": forest.offset.tolist(), "exponent": forest.exponent}
    return json.dumps(header, sort_keys=True)


def _only_node(model: Any) -> Any:
    (node,) = model.graph.node
    if (node.op_type, node.domain) != (OPERATOR, DOMAIN):
        raise ValueError(f"its operator is {node.op_type}")
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
