"""Models for traffic: one takes every data type and looks at what it gets, others are refused."""

from __future__ import annotations

from pathlib import Path

from tritop.load.tensors import DATATYPES

_BACKEND = """
import numpy as np
import triton_python_backend_utils as pb_utils


def output(count):
    return pb_utils.InferenceResponse([pb_utils.Tensor("OUT", np.ones((count, 1), np.float32))])
"""

_EVERY_TYPE = (
    _BACKEND
    + """

def values_of(tensor):
    if tensor.name() == "BF16":
        # numpy has no bfloat16: its bytes are the upper halves of float32.
        import ctypes
        from_capsule = ctypes.pythonapi.PyCapsule_GetPointer
        from_capsule.restype, from_capsule.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        capsule = tensor.to_dlpack()
        data = ctypes.c_void_p.from_address(from_capsule(capsule, b"dltensor")).value
        count = int(np.prod(SHAPE))
        halves = np.ctypeslib.as_array(ctypes.cast(data, ctypes.POINTER(ctypes.c_uint16)), (count,)).copy()
        return (halves.astype(np.uint32) << 16).view(np.float32).reshape(SHAPE)
    return tensor.as_numpy()


SHAPE = None


class TritonPythonModel:
    def initialize(self, args):
        pass

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        global SHAPE
        tensors = {tensor.name(): tensor for tensor in request.inputs()}
        assert "OPTIONAL" not in tensors, "an optional input was sent"
        SHAPE = tensors["FP32"].as_numpy().shape
        for name, tensor in tensors.items():
            values = values_of(tensor)
            assert values.shape == SHAPE == (SHAPE[0], 3, 8), (name, values.shape)
            if name == "BYTES":
                assert all(value.decode().startswith("tritop ") for value in values.ravel()), values
            elif name.startswith(("FP", "BF")):
                assert ((values >= 0) & (values < 1)).all() and values.max() > 0, (name, values)
            else:
                assert set(values.ravel().tolist()) <= {0, 1} and values.ravel()[0] == 1, (name, values)
        return output(SHAPE[0])
"""
)

_CHECK = (
    _BACKEND
    + """

class TritonPythonModel:
    def initialize(self, args):
        pass

    def execute(self, requests):
        responses = []
        for request in requests:
            numbers = pb_utils.get_input_tensor_by_name(request, "NUMBERS").as_numpy()
            text = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy()
            sums = ["%g" % row.sum() for row in numbers]
            if [value.decode() for value in text.ravel()] != sums:
                raise pb_utils.TritonModelException(f"{text.tolist()} is not {sums}")
            responses.append(output(len(numbers)))
        return responses
"""
)

_SILENT = (
    _BACKEND + "\n\nclass TritonPythonModel:\n    def execute(self, requests):\n        return [None] * len(requests)\n"
)


def _tensor(name: str, datatype: str, dims: str, extra: str = "") -> str:
    proto = "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"
    return f'{{ name: "{name}" data_type: {proto} dims: {dims} {extra}}}'


def _config(name: str, inputs: list[str], extra: str) -> str:
    return (
        f'name: "{name}"\nbackend: "python"\n'
        f"input [ {', '.join(inputs)} ]\n"
        f"output [ {_tensor('OUT', 'FP32', '[ 1 ]')} ]\n"
        f"instance_group [ {{ kind: KIND_CPU }} ]\n{extra}\n"
    )


def write_traffic_models(folder: Path) -> Path:
    """Write the repository: `types`, `check`, `sequences` and `streams`."""
    every = [_tensor(datatype, datatype, "[ 3, -1 ]") for datatype in sorted(DATATYPES)]
    every.append(_tensor("OPTIONAL", "FP32", "[ 1 ]", "optional: true "))
    numbers = [_tensor("NUMBERS", "FP64", "[ -1 ]"), _tensor("TEXT", "BYTES", "[ 1 ]")]
    one = [_tensor("IN", "FP32", "[ 1 ]")]
    models = {
        "types": (_EVERY_TYPE, every, "max_batch_size: 4"),
        "check": (_CHECK, numbers, "max_batch_size: 8\ndynamic_batching { max_queue_delay_microseconds: 2000 }"),
        "sequences": (_SILENT, one, "max_batch_size: 4\nsequence_batching { }"),
        "streams": (_SILENT, one, "model_transaction_policy { decoupled: true }"),
    }
    for name, (code, inputs, extra) in models.items():
        version = folder / name / "1"
        version.mkdir(parents=True)
        (version / "model.py").write_text(code)
        (folder / name / "config.pbtxt").write_text(_config(name, inputs, extra))
    return folder
