"""A deep equilibrium layer: the state z of `z = tanh(z W + x)`, by fixed-point iteration."""

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

Floats = NDArray[np.float32]

WIDTH = 256
ITERATIONS = 100
CONTRACTION = 0.9
"""Largest singular value of W: the distance to the fixed point shrinks by it in every iteration."""


def make_weights() -> Floats:
    """W, float32 of shape (WIDTH, WIDTH), an orthogonal matrix times CONTRACTION."""
    square = np.random.default_rng(7).standard_normal((WIDTH, WIDTH))
    return (CONTRACTION * np.linalg.qr(square)[0]).astype(np.float32)


def find_state(rows: Floats, weights: Floats) -> Floats:
    """Iterate from 0.

    Args:
        rows: float32 of shape (rows, WIDTH).
        weights: see `make_weights`.

    Returns:
        float32 of the same shape.
    """
    state = np.zeros_like(rows)
    for _ in range(ITERATIONS):
        state = np.tanh(state @ weights + rows)
    return state


class TritonPythonModel:
    """What the Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Make the weights."""
        self.weights = make_weights()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Compute each request by itself; without batching Triton gives one at a time."""
        responses = []
        for request in requests:
            rows = pb_utils.get_input_tensor_by_name(request, "ROWS").as_numpy()
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("STATE", find_state(rows, self.weights))]))
        return responses
