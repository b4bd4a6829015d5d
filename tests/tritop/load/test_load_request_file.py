from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.tritop.load.models import decoded, model
from tritop.errors import UsageError
from tritop.load.request_file import RequestFile
from tritop.load.requests import ModelInputs, Request

X = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 1]}
Y = {"name": "y", "datatype": "BYTES", "shape": [1, 1], "data": ["hé"]}


@pytest.fixture
def chosen() -> ModelInputs:
    inputs = [("x", "FP32", [-1, 2]), ("y", "BYTES", [-1, -1])]
    return model(*inputs, ("z", "INT8", [-1, 1]), optional=["z"], max_batch_size=2)


def read(tmp_path: Path, document: object, chosen: ModelInputs) -> tuple[Request, ...]:
    path = tmp_path / "input.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return RequestFile(str(path)).requests(chosen)


def changed(entry: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**entry, **changes}.items() if value is not None}


def test_a_request_in_the_form_of_the_http_protocol(tmp_path: Path, chosen: ModelInputs) -> None:
    (request,) = read(tmp_path, {"inputs": [X, Y]}, chosen)
    message = decoded(request.body)
    assert request.inferences == 1
    assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in message.inputs] == [
        ("x", "FP32", [1, 2]),
        ("y", "BYTES", [1, 1]),
    ]
    assert list(message.raw_input_contents) == [struct.pack("<2f", 0.5, 1), struct.pack("<I", 3) + "hé".encode()]


def test_a_list_of_requests_nested_data_and_batches(tmp_path: Path, chosen: ModelInputs) -> None:
    two = {
        "inputs": [
            changed(Y, shape=[2, 1], data=[["a"], ["b"]]),
            changed(X, shape=[2, 2], data=[[1, 2], [3, 4]]),
            {"name": "z", "datatype": "INT8", "shape": [2, 1], "data": [-1, 1]},
        ]
    }
    one, other = read(tmp_path, [{"inputs": [X, Y]}, two], chosen)
    assert (one.inferences, other.inferences) == (1, 2)
    assert decoded(other.body).raw_input_contents[1] == struct.pack("<4f", 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{", "input.json is not JSON: "),
        ('{"inputs": [NaN]}', "input.json is not JSON: NaN is not a JSON number"),
        ("[" * 100_000, "nested too deeply"),
        ([], "holds an empty list"),
        (3, "this is not a request"),
        ({"inputs": {}}, "this is not a request"),
        ([{"inputs": [X, Y]}, {}], "input.json, request 2: this is not a request"),
        ({"inputs": ["x"]}, 'an input is not an object with a "name"'),
        ({"inputs": [X]}, "input y is missing; model m needs it"),
        ({"inputs": [X, Y, Y]}, "input y is given twice"),
        ({"inputs": [X, Y, changed(X, name="w")]}, "input w is none of model m, whose inputs are x, y, z"),
        ({"inputs": [changed(X, datatype="FP64"), Y]}, 'input x has the datatype "FP64", the model wants FP32'),
        ({"inputs": [changed(X, datatype=None), Y]}, "input x has the datatype null"),
        ({"inputs": [changed(X, data=[1]), Y]}, r"input x has 1 elements, its shape \[1, 2\] wants 2"),
        ({"inputs": [changed(X, data=None), Y]}, 'input x has no "data"'),
        ({"inputs": [changed(X, data=[1, "1"]), Y]}, "input x is FP32 and element 1 is '1'"),
        ({"inputs": [changed(X, data=[1, 1e39]), Y]}, r"input x is FP32 and element 1 is 1e\+39, out of range"),
        ({"inputs": [changed(X, shape=[1, 3], data=[1, 2, 3]), Y]}, r"the model wants \[-1, 2\] \(-1 is free\)"),
        ({"inputs": [changed(X, shape=[2]), Y]}, "the model wants"),
        ({"inputs": [changed(X, shape="1,2"), Y]}, "not a list of whole numbers"),
        ({"inputs": [changed(X, shape=[True, 2]), Y]}, "not a list of whole numbers"),
        ({"inputs": [changed(X, shape=[-1, 2]), Y]}, "not a list of whole numbers"),
        ({"inputs": [changed(X, shape=[2, 2], data=[1, 2, 3, 4]), Y]}, "input y has a batch of 1, x one of 2"),
        (
            {"inputs": [changed(X, shape=[3, 2], data=[0] * 6), changed(Y, shape=[3, 1], data=["a"] * 3)]},
            "a batch of 3 is larger than the max_batch_size",
        ),
    ],
)
def test_whatever_is_wrong_is_named_with_file_and_input(
    tmp_path: Path, chosen: ModelInputs, document: object, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        read(tmp_path, document, chosen)
    assert str(tmp_path / "input.json") in caught.value.sentence


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*absent\.json: No such file"):
        RequestFile(str(tmp_path / "absent.json"))
    with pytest.raises(UsageError, match=r"cannot read .*: Is a directory"):
        RequestFile(str(tmp_path))
