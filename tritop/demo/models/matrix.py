"""A two-layer perceptron whose first layer is larger than most last-level caches.

Version 1 has a rectifier between the layers, version 2 and every later one tanh; each version has
weights of its own, made from its number.
"""

import numpy as np
import triton_python_backend_utils as pb_utils

FEATURES = 1024
HIDDEN = 32768
SCORES = 16
_GEMM_ROWS = 4
"""From here on one matrix product is faster than a product with a vector for each row."""


def make_weights(version, hidden=HIDDEN):
    """Weights of both layers, the same ones for the same version.

    Args:
        version: the model version, the seed of its weights.
        hidden: width of the hidden layer.

    Returns:
        Two float32 arrays, (FEATURES, hidden) and (hidden, SCORES), scaled so that the scores of
        standard normal features are of the order of 1.
    """
    generator = np.random.default_rng(version)
    first = generator.standard_normal((FEATURES, hidden), dtype=np.float32)
    first *= np.float32(FEATURES**-0.5)
    second = generator.standard_normal((hidden, SCORES), dtype=np.float32)
    second *= np.float32(hidden**-0.5)
    return first, second


def compute_scores(features, first, second, version):
    """Scores of a batch.

    Args:
        features: float32 of shape (rows, FEATURES).
        first: weights of the first layer.
        second: weights of the second layer.
        version: chooses the activation, see above.

    Returns:
        float32 of shape (rows, SCORES).
    """
    hidden = features @ first if len(features) >= _GEMM_ROWS else np.stack([row @ first for row in features])
    if version == 1:
        np.maximum(hidden, 0.0, out=hidden)
    else:
        np.tanh(hidden, out=hidden)
    return hidden @ second


class TritonPythonModel:
    """What the Python backend calls."""

    def initialize(self, args):
        """Make the weights of this version; about 0.5 s."""
        self.version = int(args["model_version"])
        self.first, self.second = make_weights(self.version)

    def execute(self, requests):
        """Compute the requests of one execution as one batch and split the scores again."""
        inputs = [pb_utils.get_input_tensor_by_name(request, "FEATURES").as_numpy() for request in requests]
        features = inputs[0] if len(inputs) == 1 else np.concatenate(inputs)
        scores = compute_scores(features, self.first, self.second, self.version)
        ends = np.cumsum([len(rows) for rows in inputs])
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("SCORES", np.ascontiguousarray(part))])
            for part in np.split(scores, ends[:-1])
        ]
