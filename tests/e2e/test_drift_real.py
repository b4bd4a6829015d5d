"""Drift on a real Triton: none on untouched models, all of an override, none once it is saved."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.traffic_models import write_traffic_models
from tests.e2e.triton_calls import infer_tiny, load
from tests.running_triton import RunningTriton, TritonFactory
from tritop.change import ConfigEdit, Drift, DriftState, VersionChoice
from tritop.control.control import Control
from tritop.control.drift import drift_of, save
from tritop.control.edit import apply_edit, parse_config
from tritop.control.server import TritonServer
from tritop.demo.repository import write_repository
from tritop.reading import IndexEntry

pytestmark = pytest.mark.triton

_CODE = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    {complete}

    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUT", np.ones((1, 1), np.float32))]) for _ in requests]
"""
_COMPLETE = """
    @staticmethod
    def auto_complete_config(config):
        config.set_max_batch_size(4)
        config.add_input({"name": "IN", "data_type": "TYPE_FP32", "dims": [1]})
        config.add_output({"name": "OUT", "data_type": "TYPE_FP32", "dims": [1]})
        config.set_dynamic_batching()
        return config
"""
_TENSORS = (
    'input [ { name: "IN" data_type: TYPE_FP32 dims: [ 1 ] } ] output { name: "OUT" data_type: TYPE_FP32 dims: 1 }\n'
)
_PLAIN = 'backend: "python"\nmax_batch_size: 4\n'
UNTOUCHED: dict[str, tuple[str | None, str]] = {
    "completed": (None, _COMPLETE),
    "half_completed": ('backend: "python"\n', _COMPLETE),
    "sized_completed": (_PLAIN, _COMPLETE),
    "bare": (_PLAIN + _TENSORS, ""),
    "inferred": ('default_model_filename: "model.py"\nmax_batch_size: 4\n' + _TENSORS, ""),
    "kinds": (_PLAIN + _TENSORS + 'instance_group [ { kind: KIND_AUTO }, { name: "x" kind: KIND_CPU count: 2 } ]', ""),
    "uncounted": (_PLAIN + _TENSORS + "instance_group < kind: KIND_CPU >", ""),
    "no_groups": (_PLAIN + _TENSORS + "instance_group [ ]", ""),
    "prioritised": (
        _PLAIN + _TENSORS + "dynamic_batching { priority_levels: 3 default_priority_level: 2 "
        "priority_queue_policy { key: 1 value { max_queue_size: 3 } } }",
        "",
    ),
    "batching": (_PLAIN + _TENSORS + "dynamic_batching { }", ""),
    "oldest": (_PLAIN + _TENSORS + "sequence_batching { oldest { max_candidate_sequences: 4 } }", ""),
    "direct": (_PLAIN + _TENSORS + 'sequence_batching { direct { } } parameters { key: "a" value { } }', ""),
    "unbatched": ('backend: "python"\n' + _TENSORS, ""),
    "explicit": (
        _PLAIN + _TENSORS + "response_cache { enable: false } model_transaction_policy { decoupled: false }\n"
        "optimization { priority: PRIORITY_DEFAULT input_pinned_memory { enable: false } }\n"
        "version_policy { latest { num_versions: 2 } } model_warmup [ ]",
        "",
    ),
    "transacting": (_PLAIN + _TENSORS + "model_transaction_policy { decoupled: true }", ""),
}


def write_untouched(folder: Path) -> list[str]:
    for name, (config, complete) in UNTOUCHED.items():
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "1" / "model.py").write_text(_CODE.format(complete=complete))
        if config is not None:
            (folder / name / "config.pbtxt").write_text(config)
    return list(UNTOUCHED)


def seen(triton: RunningTriton, model: str) -> tuple[Any, tuple[IndexEntry, ...]]:
    """The running configuration of a model, and the index."""

    async def ask() -> tuple[Any, tuple[IndexEntry, ...]]:
        control = Control(triton.endpoint)
        try:
            situation = await control.look(model)
        finally:
            await control.aclose()
        assert situation.current is not None, f"{model} is not loaded"
        return situation.current, situation.index

    return triton.run(ask())


def drift(triton: RunningTriton, model: str) -> Drift:
    return drift_of("box", model, [triton.repository], *seen(triton, model))


def save_running(triton: RunningTriton, model: str, backups: Path) -> str:
    return save(model, [triton.repository], *seen(triton, model), backups=backups).text


def change(triton: RunningTriton, model: str, edit: ConfigEdit) -> None:
    running, _ = seen(triton, model)
    triton.run(load(triton.endpoint, model, apply_edit(running, edit)))


def statistics(triton: RunningTriton, model: str) -> int:
    async def ask() -> int:
        server = TritonServer(triton.endpoint)
        try:
            return sum(one.inference_count for one in await server.statistics() if one.name == model)
        finally:
            await server.close()

    return triton.run(ask())


def test_an_untouched_model_has_no_drift(make_triton_server: TritonFactory, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    demo = write_repository(repository)
    write_traffic_models(repository)
    models = [*demo.loadable, "types", "check", "sequences", "streams", *write_untouched(repository)]
    triton = make_triton_server(repository=repository)

    async def load_all() -> None:
        for model in demo.loadable:
            await load(triton.endpoint, model)
        await asyncio.gather(*(load(triton.endpoint, model) for model in models if model not in demo.loadable))

    triton.run(load_all())
    states = {model: drift(triton, model) for model in models}
    assert {model: one.diff for model, one in states.items() if one.diff} == {}
    assert states.pop("completed").state is DriftState.NO_FILE
    assert {one.state for one in states.values()} == {DriftState.SAME}


def test_an_override_drifts_until_it_is_saved_and_saving_reloads_nothing(
    make_triton_server: TritonFactory, tmp_path: Path
) -> None:
    triton = make_triton_server()
    before = (triton.repository / "tiny" / "config.pbtxt").read_text()
    # The first load after a model has run sees the byte code that Python wrote, and reloads.
    triton.run(load(triton.endpoint, "tiny"))
    edit = ConfigEdit(batching=True, max_queue_delay_us=700, instance_count=2)
    change(triton, "tiny", edit)
    drifted = drift(triton, "tiny")
    assert drifted.state is DriftState.DRIFTED
    assert {one.path.rpartition(".")[2] for one in drifted.diff} >= {"max_queue_delay_microseconds", "count"}
    assert "lost" in drifted.text

    text = save_running(triton, "tiny", tmp_path)
    assert drift(triton, "tiny").state is DriftState.SAME
    saved = (triton.repository / "tiny" / "config.pbtxt").read_text()
    assert parse_config(saved) == apply_edit(parse_config(before), edit), "only what was edited is in the file"
    assert "preferred_batch_size" not in saved, "what the server fills in is not written"
    comments = [line for line in before.splitlines() if line.startswith("#")]
    assert comments
    assert all(line in saved.splitlines() for line in comments)

    triton.run(infer_tiny(triton.endpoint, 3))
    counted = statistics(triton, "tiny")
    triton.run(load(triton.endpoint, "tiny"))
    assert statistics(triton, "tiny") == counted > 0, "the load after saving must not reload"
    assert "changes nothing" in text
    assert drift(triton, "tiny").state is DriftState.SAME

    # What was promised of an override that is not saved: newer files bring the file back.
    change(triton, "tiny", ConfigEdit(max_queue_delay_us=900))
    assert drift(triton, "tiny").state is DriftState.DRIFTED
    os.utime(triton.repository / "tiny" / "config.pbtxt")
    triton.run(load(triton.endpoint, "tiny"))
    assert drift(triton, "tiny").state is DriftState.SAME


def test_versions_that_were_taken_out_drift_and_are_saved(make_triton_server: TritonFactory, tmp_path: Path) -> None:
    """The configuration of the version that stayed goes on saying the old policy; the index knows better."""
    triton = make_triton_server()
    assert drift(triton, "matrix").state is DriftState.SAME
    change(triton, "matrix", ConfigEdit(versions=VersionChoice(specific=(2,))))
    drifted = drift(triton, "matrix")
    assert [one.path for one in drifted.diff if "specific" in one.path] == ["version_policy.specific.versions"]
    save_running(triton, "matrix", tmp_path)
    assert drift(triton, "matrix").state is DriftState.SAME
    text = (triton.repository / "matrix" / "config.pbtxt").read_text()
    assert "specific { versions: 2 }" in text or "specific { versions: [2] }" in text
    assert text.startswith("# A two-layer perceptron.")


def test_a_model_that_had_no_file_gets_one_with_what_was_edited(
    make_triton_server: TritonFactory, tmp_path: Path
) -> None:
    repository = tmp_path / "models"
    write_untouched(repository)
    triton = make_triton_server(repository=repository)
    triton.run(load(triton.endpoint, "completed"))
    change(triton, "completed", ConfigEdit(max_queue_delay_us=300))
    assert drift(triton, "completed").state is DriftState.DRIFTED
    text = save_running(triton, "completed", tmp_path)
    assert "there was no file before" in text
    written = (repository / "completed" / "config.pbtxt").read_text()
    assert parse_config(written) == parse_config("dynamic_batching { max_queue_delay_microseconds: 300 }")
    triton.run(load(triton.endpoint, "completed"))
    assert drift(triton, "completed").state is DriftState.SAME
