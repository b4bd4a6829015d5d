"""Inference requests out of a JSON file, in the form that the KServe v2 HTTP protocol gives them.

`{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0, 1, 2, 3]}]}`, or a list
of such requests, which are sent in turn.
(https://github.com/kserve/open-inference-protocol, "Inference Request JSON Object")
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from tritop.errors import UsageError
from tritop.load import tensors
from tritop.load.requests import Input, ModelInputs, Request

MAX_FILE_BYTES = 256 * 1024 * 1024
"""JSON takes a few times the size of what it holds."""
MAX_REQUESTS = 10_000


class RequestFile:
    """A file with requests; every sentence about it names the file and, with several, the request.

    Args:
        path: of the JSON file.

    Raises:
        UsageError: the file cannot be read, is not JSON, or holds no request.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        document = self._parsed(self._read())
        entries = document if isinstance(document, list) else [document]
        if not entries:
            raise UsageError(f"{path} holds an empty list, no request.")
        if len(entries) > MAX_REQUESTS:
            raise UsageError(f"{path} holds {len(entries)} requests, more than {MAX_REQUESTS}.")
        self._entries = entries

    def _read(self) -> bytes:
        try:
            with Path(self.path).open("rb") as file:
                text = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise UsageError(f"cannot read {self.path}: {error.strerror}.") from error
        if len(text) > MAX_FILE_BYTES:
            raise UsageError(f"{self.path} is larger than {MAX_FILE_BYTES // 2**20} MiB.")
        return text

    def _parsed(self, text: bytes) -> object:
        try:
            document: object = json.loads(text, parse_constant=_refuse_constant)
        except RecursionError as error:
            raise UsageError(f"{self.path} is nested too deeply.") from error
        except ValueError as error:
            raise UsageError(f"{self.path} is not JSON: {error}.") from error
        return document

    def requests(self, model: ModelInputs) -> tuple[Request, ...]:
        """Make the requests for a model.

        Raises:
            UsageError: an input is missing, unknown, given twice, of another data type or shape,
                or its data do not fit them.
        """
        made = []
        for position, entry in enumerate(self._entries):
            where = self.path if len(self._entries) == 1 else f"{self.path}, request {position + 1}"
            made.append(_Reader(where, model).request(entry))
        return tuple(made)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


class _Reader:
    """Turns one request of a file into bytes."""

    def __init__(self, where: str, model: ModelInputs) -> None:
        self._where = where
        self._model = model

    def request(self, document: object) -> Request:
        if not isinstance(document, dict) or not isinstance(document.get("inputs"), list):
            raise UsageError(
                f'{self._where}: this is not a request, which is an object with a list "inputs".',
                'Such as {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 1]}]}.',
            )
        contents = [self._input(entry) for entry in document["inputs"]]
        names = [entry.name for entry, _, _ in contents]
        for name in names:
            if names.count(name) > 1:
                raise self._wrong(name, "is given twice")
        for entry in self._model.inputs:
            if entry.name not in names and not entry.optional:
                raise self._wrong(entry.name, f"is missing; model {self._model.model} needs it")
        request = self._model.serialised(contents)
        if self._model.batched and contents:
            self._check_batches(contents)
        return request

    def _check_batches(self, contents: list[tuple[Input, tuple[int, ...], bytes]]) -> None:
        batch = contents[0][1][0]
        for entry, shape, _ in contents:
            if shape[0] != batch:
                raise self._wrong(entry.name, f"has a batch of {shape[0]}, {contents[0][0].name} one of {batch}")
        try:
            self._model.check_batch(batch)
        except UsageError as error:
            raise UsageError(f"{self._where}: {error.sentence}") from error

    def _input(self, document: object) -> tuple[Input, tuple[int, ...], bytes]:
        if not isinstance(document, dict) or not isinstance(document.get("name"), str):
            raise UsageError(f'{self._where}: an input is not an object with a "name".')
        name: str = document["name"]
        entry = next((entry for entry in self._model.inputs if entry.name == name), None)
        if entry is None:
            names = ", ".join(entry.name for entry in self._model.inputs)
            raise self._wrong(name, f"is none of model {self._model.model}, whose inputs are {names}")
        datatype = document.get("datatype")
        if datatype != entry.datatype:
            raise self._wrong(name, f"has the datatype {_text(datatype)}, the model wants {entry.datatype}")
        shape = self._shape(entry, document)
        if "data" not in document:
            raise self._wrong(name, 'has no "data"')
        values = tensors.flat(document["data"])
        if len(values) != math.prod(shape):
            wanted = math.prod(shape)
            raise self._wrong(name, f"has {len(values)} elements, its shape {_text(list(shape))} wants {wanted}")
        try:
            return entry, shape, tensors.from_json_values(entry.datatype, values)
        except ValueError as error:
            raise self._wrong(name, f"is {entry.datatype} and {error}") from error

    def _shape(self, entry: Input, document: Mapping[str, object]) -> tuple[int, ...]:
        shape = document.get("shape")
        if not isinstance(shape, list) or not all(type(dim) is int and dim >= 0 for dim in shape):
            raise self._wrong(entry.name, f"has the shape {_text(shape)}, which is not a list of whole numbers")
        fits = len(shape) == len(entry.shape) and all(
            have in (-1, want) for have, want in zip(entry.shape, shape, strict=True)
        )
        if not fits:
            wanted = _text(list(entry.shape))
            raise self._wrong(entry.name, f"has the shape {_text(shape)}, the model wants {wanted} (-1 is free)")
        return tuple(shape)

    def _wrong(self, name: str, what: str) -> UsageError:
        return UsageError(f"{self._where}: input {name} {what}.")


def _text(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
