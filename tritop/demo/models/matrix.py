"""A two-layer perceptron whose first layer is larger than most last-level caches.

Version 1 has a rectifier between the layers, version 2 and every later one tanh; each version has
weights of its own, made from its number.
"""

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

Floats = NDArray[np.float32]

FEATURES = 1024
HIDDEN = 32768
SCORES = 16
TILE = 512
"""Hidden units whose weights (2 MiB) are used for all rows while they are in the cache."""
_PRODUCT_ROWS = 5
"""From here on a matrix product of a tile is faster than a product with a vector for each row."""


def make_weights(version: int) -> tuple[Floats, Floats]:
    """Weights of both layers, the same ones for the same version.

    Args:
        version: the model version, the seed of its weights.

    Returns:
        Two float32 arrays of shape (HIDDEN, FEATURES) and (SCORES, HIDDEN), scaled so that the
        scores of standard normal features are of the order of 1.
    """
    generator = np.random.default_rng(version)
    first = generator.standard_normal((HIDDEN, FEATURES), dtype=np.float32)
    first *= np.float32(FEATURES**-0.5)
    second = generator.standard_normal((SCORES, HIDDEN), dtype=np.float32)
    second *= np.float32(HIDDEN**-0.5)
    return first, second


def compute_scores(features: Floats, first: Floats, second: Floats, version: int) -> Floats:
    """Scores of a batch. The weights of the first layer are read from memory once for all rows.

    Args:
        features: float32 of shape (rows, FEATURES).
        first: weights of the first layer.
        second: weights of the second layer.
        version: chooses the activation, see above.

    Returns:
        float32 of shape (rows, SCORES).
    """
    rows = len(features)
    columns = np.ascontiguousarray(features.T)
    hidden = np.empty((HIDDEN, rows), dtype=np.float32)
    for start in range(0, HIDDEN, TILE):
        tile, part = first[start : start + TILE], hidden[start : start + TILE]
        if rows >= _PRODUCT_ROWS:
            np.matmul(tile, columns, out=part)
        else:
            for row in range(rows):
                part[:, row] = tile @ features[row]
    if version == 1:
        np.maximum(hidden, 0.0, out=hidden)
    else:
        np.tanh(hidden, out=hidden)
    scores: Floats = np.matmul(second, hidden)
    return scores.T


class TritonPythonModel:
    """What the Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Make the weights of this version; about 0.5 s."""
        self.version = int(args["model_version"])
        self.first, self.second = make_weights(self.version)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Compute the requests of one execution as one batch and split the scores again."""
        inputs = [pb_utils.get_input_tensor_by_name(request, "FEATURES").as_numpy() for request in requests]
        features = inputs[0] if len(inputs) == 1 else np.concatenate(inputs)
        scores = compute_scores(features, self.first, self.second, self.version)
        ends = np.cumsum([len(rows) for rows in inputs])
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("SCORES", np.ascontiguousarray(part))])
            for part in np.split(scores, ends[:-1])
        ]
