from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tritop.load.models import config_of, decoded, metadata_of, model
from tritop.errors import OperationFailed, UsageError
from tritop.load import tensors
from tritop.load.requests import DYNAMIC_DIMENSION, VARIANTS, VARIANTS_BYTES, ModelInputs, made_up_requests
from tritop.protocol import model_config_pb2


def test_every_data_type_with_batch_and_dynamic_dimensions() -> None:
    datatypes = sorted(tensors.DATATYPES)
    chosen = model(*((name, name, [-1, 2, -1]) for name in datatypes), version="3", max_batch_size=4)
    requests = made_up_requests(chosen, batch=3)
    assert len(requests) == VARIANTS
    assert len({request.body for request in requests}) == VARIANTS
    for request in requests:
        assert request.inferences == 3
        message = decoded(request.body)
        assert (message.model_name, message.model_version) == ("m", "3")
        assert [tensor.datatype for tensor in message.inputs] == datatypes
        assert all(list(tensor.shape) == [3, 2, DYNAMIC_DIMENSION] for tensor in message.inputs)
        for tensor, contents in zip(message.inputs, message.raw_input_contents, strict=True):
            assert len(contents) == 3 * 2 * DYNAMIC_DIMENSION * tensors.element_bytes(tensor.datatype)


def test_a_model_without_batching_has_no_batch_dimension() -> None:
    (request, *_) = made_up_requests(model(("x", "FP32", [2, -1])))
    message = decoded(request.body)
    assert request.inferences == 1
    assert list(message.inputs[0].shape) == [2, DYNAMIC_DIMENSION]


def test_the_same_model_gets_the_same_contents_in_every_run() -> None:
    chosen = model(("x", "FP32", [-1]), ("y", "BYTES", [4]))
    assert made_up_requests(chosen) == made_up_requests(chosen)


def test_shapes_fill_dynamic_dimensions_in() -> None:
    chosen = model(("tokens", "INT64", [-1, -1]), ("pixels", "UINT8", [-1, 3, -1, -1]), max_batch_size=8)
    shapes = (("tokens", (128,)), ("pixels", (3, 10, 20)))
    (request, *_) = made_up_requests(chosen, batch=2, shapes=shapes)
    assert [list(tensor.shape) for tensor in decoded(request.body).inputs] == [[2, 128], [2, 3, 10, 20]]


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((3, 10), r"\[3,10\] does not fit input pixels of model m, which is \[3,-1,-1\] without the batch"),
        ((1, 10, 10), r"\[1,10,10\] does not fit"),
        ((1, 3, 10, 10), "does not fit"),
        ((3, 0, 10), "below 1"),
        ((3, -1, 10), "below 1"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(shape: tuple[int, ...], words: str) -> None:
    chosen = model(("pixels", "UINT8", [-1, 3, -1, -1]), max_batch_size=8)
    with pytest.raises(UsageError, match=words):
        made_up_requests(chosen, shapes=[("pixels", shape)])


def test_a_shape_for_an_input_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(UsageError, match="has no input z: its inputs are x, y"):
        made_up_requests(model(("x", "FP32", [1]), ("y", "FP32", [1])), shapes=[("z", (1,))])


def test_optional_inputs_are_left_out_unless_they_are_given_a_shape() -> None:
    chosen = model(("x", "FP32", [1]), ("mask", "BOOL", [-1]), optional=["mask"])
    (request, *_) = made_up_requests(chosen)
    assert [tensor.name for tensor in decoded(request.body).inputs] == ["x"]
    (request, *_) = made_up_requests(chosen, shapes=[("mask", (4,))])
    assert [tensor.name for tensor in decoded(request.body).inputs] == ["x", "mask"]


@pytest.mark.parametrize(
    ("batch", "max_batch_size", "words"),
    [
        (5, 4, "a batch of 5 is larger than the max_batch_size of model m, 4"),
        (2, 0, r"does not batch \(max_batch_size 0\)"),
        (0, 4, "1 or more"),
        (-1, 0, "1 or more"),
    ],
)
def test_a_batch_that_triton_would_refuse_is_refused(batch: int, max_batch_size: int, words: str) -> None:
    shape = [-1, 2] if max_batch_size else [2]
    with pytest.raises(UsageError, match=words):
        made_up_requests(model(("x", "FP32", shape), max_batch_size=max_batch_size), batch=batch)


def test_sequences_and_decoupled_models_are_refused_with_the_reason() -> None:
    sequences = config_of(sequence_batching=model_config_pb2.ModelSequenceBatching())
    with pytest.raises(OperationFailed, match="wants sequences"):
        ModelInputs(metadata_of([]), sequences)
    decoupled = config_of(model_transaction_policy=model_config_pb2.ModelTransactionPolicy(decoupled=True))
    with pytest.raises(OperationFailed, match="decoupled"):
        ModelInputs(metadata_of([]), decoupled)


def test_what_cannot_be_made_up_is_refused() -> None:
    config = config_of()
    config.input.add(name="sizes", is_shape_tensor=True)
    with pytest.raises(OperationFailed, match="input sizes of model m is a shape tensor"):
        made_up_requests(ModelInputs(metadata_of([("sizes", "INT32", [2])]), config))
    with pytest.raises(OperationFailed, match="unknown type FP4"):
        made_up_requests(model(("x", "FP4", [2])))


def test_a_request_that_no_message_can_hold_is_refused_before_it_is_made() -> None:
    with pytest.raises(UsageError, match="more than the 64 MiB"):
        made_up_requests(model(("x", "FP32", [-1, -1])), shapes=[("x", (10**9, 10**9))])


def test_large_requests_come_in_fewer_variants() -> None:
    half = VARIANTS_BYTES // 2
    assert len(made_up_requests(model(("x", "UINT8", [half])))) == 2
    assert len(made_up_requests(model(("x", "UINT8", [VARIANTS_BYTES + 1])))) == 1


def test_a_model_without_inputs_gets_an_empty_request() -> None:
    (request, *_) = made_up_requests(model(max_batch_size=4))
    assert request.inferences == 1
    assert not decoded(request.body).inputs


@given(
    dims=st.lists(st.integers(1, 5) | st.just(-1), max_size=4),
    batch=st.integers(1, 8),
    datatype=st.sampled_from(sorted(tensors.DATATYPES)),
)
def test_contents_always_fit_the_shape(dims: list[int], batch: int, datatype: str) -> None:
    chosen = model(("x", datatype, [-1, *dims]), max_batch_size=8)
    for request in made_up_requests(chosen, batch=batch):
        message = decoded(request.body)
        shape = list(message.inputs[0].shape)
        assert len(shape) == 1 + len(dims)
        assert len(message.raw_input_contents[0]) == math.prod(shape) * tensors.element_bytes(datatype)
