"""A repository of small models that do on request what an operator fears: load slowly, fail, stream."""

from __future__ import annotations

from pathlib import Path

CODE = """
import json
import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        self.version = float(args["model_version"])
        self.stream_s = float(parameters.get("stream_s", "0"))
        self.execute_s = float(parameters.get("execute_s", "0"))
        time.sleep(float(parameters.get("initialize_s", "0")))
        if "fail" in parameters:
            raise RuntimeError("the model says " + parameters["fail"])

    def execute(self, requests):
        time.sleep(self.execute_s)
        if self.stream_s:
            for request in requests:
                self.stream(request)
            return None
        return [self.response(request) for request in requests]

    def stream(self, request):
        sender = request.get_response_sender()
        for _ in range(10):
            time.sleep(self.stream_s / 10)
            sender.send(self.response(request))
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def response(self, request):
        rows = pb_utils.get_input_tensor_by_name(request, "ROWS").as_numpy()
        return pb_utils.InferenceResponse([pb_utils.Tensor("OUT", rows * np.float32(self.version))])
"""

_TENSORS = """
input [ { name: "ROWS" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""
_PYTHON = f'backend: "python"\nmax_batch_size: 8\n{_TENSORS}\ninstance_group [ {{ count: 1 kind: KIND_CPU }} ]\n'

CONFIGS = {
    "echo": (_PYTHON + "dynamic_batching { max_queue_delay_microseconds: 100 }\n", (1,)),
    # Without batching the server ends a change of instances only in a moment in which no request waits.
    "twin": (_PYTHON + "dynamic_batching { }\nversion_policy { all { } }\n", (1, 2, 3)),
    "counted": (
        _PYTHON
        + """sequence_batching {
  max_sequence_idle_microseconds: 60000000
  control_input [ { name: "START" control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } ] } ]
}
""",
        (1,),
    ),
    "stream": (
        f'backend: "python"\nmax_batch_size: 0\n{_TENSORS}\ninstance_group [ {{ count: 1 kind: KIND_CPU }} ]\n'
        'model_transaction_policy { decoupled: true }\nparameters { key: "stream_s" value { string_value: "3" } }\n',
        (1,),
    ),
    "whole": (
        f"""platform: "ensemble"
max_batch_size: 8
{_TENSORS}
ensemble_scheduling {{
  step [ {{
    model_name: "echo"
    model_version: -1
    input_map {{ key: "ROWS" value: "ROWS" }}
    output_map {{ key: "OUT" value: "OUT" }}
  }} ]
}}
""",
        (1,),
    ),
}
"""Model -> its config.pbtxt and its versions; an ensemble comes after its steps."""


def write_control_models(folder: Path, *models: str) -> Path:
    """Write some of the models, or all of them."""
    for model in models or CONFIGS:
        text, versions = CONFIGS[model]
        for version in versions:
            (folder / model / str(version)).mkdir(parents=True)
            if model != "whole":
                (folder / model / str(version) / "model.py").write_text(CODE)
        (folder / model / "config.pbtxt").write_text(text)
    return folder
