"""Trees grown by LightGBM and turned into flat arrays: the library is needed here only."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from corpus.extraction.learned.forest import Forest
from corpus.extraction.training.examples import Example

# One thread and one seed, so that the same pages make the same bytes.
SETTINGS = {
    "objective": "cross_entropy",  # labels are shares of a block's words
    "learning_rate": 0.08,
    "num_leaves": 31,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_bin": 63,
    "seed": 1,
    "deterministic": True,
    "force_col_wise": True,
    "num_threads": 1,
    "verbose": -1,
}
NUM_TREES = 160


def grown(examples: Sequence[Example], num_trees: int = NUM_TREES) -> Forest:
    """A forest from every row of the examples."""
    import lightgbm

    rows = np.concatenate([example.rows for example in examples])
    label = np.concatenate([example.label for example in examples])
    weight = np.concatenate([example.weight for example in examples]).astype(np.float64)
    data = lightgbm.Dataset(rows, label, weight=weight / weight.mean(), params={"max_bin": SETTINGS["max_bin"]})
    booster = lightgbm.train(SETTINGS, data, num_trees)
    return flat([tree["tree_structure"] for tree in booster.dump_model()["tree_info"]])


def flat(trees: Sequence[Mapping[str, Any]]) -> Forest:
    """Nested nodes to arrays."""
    nodes: list[tuple[int, float, int, int]] = []
    leaves: list[float] = []
    roots, first_leaves = [], []
    for tree in trees:
        roots.append(len(nodes))
        first_leaves.append(len(leaves))
        _add(tree if "split_feature" in tree else _stump(tree), nodes, leaves, len(nodes), len(leaves))
    columns, thresholds, left, right = zip(*nodes, strict=True)
    return Forest(
        root=np.array(roots, np.int32),
        column=np.array(columns, np.int16),
        threshold=_rounded_down(np.array(thresholds, np.float64)),
        left=np.array(left, np.int16),
        right=np.array(right, np.int16),
        first_leaf=np.array(first_leaves, np.int32),
        leaf=np.array(leaves, np.float32),
    )


def _stump(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """A tree of one leaf as a split with that leaf on both sides."""
    return {"split_feature": 0, "threshold": 0.0, "left_child": tree, "right_child": tree}


def _add(node: Mapping[str, Any], nodes: list[Any], leaves: list[float], root: int, first_leaf: int) -> int:
    """The number of a node within its tree, or ~ of its leaf."""
    if "split_feature" not in node:
        leaves.append(node["leaf_value"])
        return ~(len(leaves) - 1 - first_leaf)
    at = len(nodes)
    nodes.append(None)
    left = _add(node["left_child"], nodes, leaves, root, first_leaf)
    right = _add(node["right_child"], nodes, leaves, root, first_leaf)
    nodes[at] = (node["split_feature"], node["threshold"], left, right)
    return at - root


def _rounded_down(threshold: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """So that a float32 is at most the rounded threshold exactly when it is at most the threshold."""
    rounded = threshold.astype(np.float32)
    return np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded).astype(np.float32)
