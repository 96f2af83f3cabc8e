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
    "max_depth": 9,  # a row takes as many steps as its tree is deep; 7 costs 0.003
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
    nodes: list[_Node] = []
    roots, depths = [], []
    for tree in trees:
        roots.append(len(nodes))
        depths.append(_add(tree, nodes, len(nodes)))
    columns, thresholds, children, values = zip(*nodes, strict=True)
    return Forest(
        root=np.array(roots, np.int32),
        depth=np.array(depths, np.int16),
        column=np.array(columns, np.int16),
        threshold=_rounded_down(np.array(thresholds, np.float64)),
        child=np.array(children, np.int16),
        value=np.array(values, np.float32),
    )


_Node = tuple[int, float, tuple[int, int], float]


def _add(node: Mapping[str, Any], nodes: list[_Node], root: int) -> int:
    """Append a node and all below it; how deep they go."""
    at = len(nodes)
    if "split_feature" not in node:
        nodes.append((0, 0.0, (at - root, at - root), node["leaf_value"]))
        return 0
    nodes.append((0, 0.0, (0, 0), 0.0))
    below = _add(node["left_child"], nodes, root)
    right = len(nodes)
    below = max(below, _add(node["right_child"], nodes, root))
    nodes[at] = (node["split_feature"], node["threshold"], (at + 1 - root, right - root), 0.0)
    return below + 1


def _rounded_down(threshold: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """So that a float32 is at most the rounded threshold exactly when it is at most the threshold."""
    rounded = threshold.astype(np.float32)
    return np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded).astype(np.float32)
