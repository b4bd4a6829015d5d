"""A stand-in for Control where a real server cannot be made to misbehave on cue."""

from __future__ import annotations

from dataclasses import dataclass, field

from tritop.change import ChangeClass, Outcome, Preview
from tritop.control.compare import diff
from tritop.control.edit import apply_edit, as_pbtxt, parse_config
from tritop.control.recorded import BeforeSend, Progress
from tritop.control.server import Config
from tritop.control.situation import Situation
from tritop.errors import OperationFailed, TritopError
from tritop.operation import EditConfig, LoadModel, ModelChange, ModelOperation, PreviewEdit, SetVersions, UnloadModel
from tritop.reading import IndexEntry


@dataclass
class FakeChanger:
    """One model in memory. `errors` are raised by the next calls of `perform`, `silent` by every `look`."""

    model: str = "tiny"
    pbtxt: str = 'name: "tiny" max_batch_size: 8 dynamic_batching { }'
    versions: tuple[int, ...] = (1,)
    errors: list[TritopError] = field(default_factory=list)
    silent: TritopError | None = None
    performed: list[ModelChange] = field(default_factory=list)

    async def look(self, model: str) -> Situation:
        if self.silent is not None:
            raise self.silent
        return Situation(
            server="box",
            model=model,
            index=tuple(IndexEntry(model, str(version), "READY", "") for version in self.versions),
            current=parse_config(self.pbtxt) if self.pbtxt else None,
        )

    async def preview(self, operation: ModelOperation, progress: Progress = lambda text: None) -> Preview:
        assert isinstance(operation, EditConfig | PreviewEdit)
        before = parse_config(self.pbtxt)
        after = apply_edit(before, operation.edit)
        kind = ChangeClass.NOTHING if before == after else ChangeClass.FULL_RELOAD
        return Preview(
            "box",
            self.model,
            kind,
            diff(before, after),
            pbtxt_before=as_pbtxt(before),
            pbtxt_after=as_pbtxt(after),
        )

    async def until_in_force(
        self, model: str, wanted: Config, before: Situation, *, since: float, limit_s: float, progress: Progress
    ) -> bool:
        raise AssertionError("this server takes configurations")

    async def perform(self, change: ModelChange, progress: Progress, before_send: BeforeSend) -> Outcome:
        self.performed.append(change)
        if isinstance(change, EditConfig) and (planned := await self.preview(change)).sendable:
            await before_send(planned, self.versions)
        if self.errors:
            raise self.errors.pop(0)
        pbtxt, versions = self.pbtxt, self.versions
        match change:
            case EditConfig():
                planned = await self.preview(change)
                if planned.change is ChangeClass.NOTHING:
                    return Outcome("nothing to do", False, planned)
                self.pbtxt = planned.pbtxt_after
            case UnloadModel():
                self.pbtxt, self.versions = "", ()
                planned = Preview("box", self.model, ChangeClass.UNLOAD, pbtxt_before=pbtxt, pbtxt_after=pbtxt)
            case LoadModel():
                self.pbtxt, self.versions = change.pbtxt, (1,)
                planned = Preview("box", self.model, ChangeClass.LOAD, pbtxt_after=change.pbtxt)
            case SetVersions():
                self.versions = change.versions.specific
                planned = Preview("box", self.model, ChangeClass.IN_PLACE, pbtxt_before=pbtxt, pbtxt_after=pbtxt)
            case _:
                raise OperationFailed("nothing else is asked of it.")
        return Outcome("done", True, planned, 0.1, versions, self.versions)

    async def aclose(self) -> None:
        """Nothing is open."""
