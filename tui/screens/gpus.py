"""The GPUs: load, memory, heat, errors, and who uses them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import BindingType

from tritop.operation import ReadPcie
from tui.keys import Place, bindings_for
from tui.present.gpus import gpu_page
from tui.screens.pages import TextScreen
from tui.widgets.lines import Line

__all__ = ["GpuScreen"]


class GpuScreen(TextScreen):
    """Every GPU of this host and of the watched servers; PCIe is read only while somebody looks."""

    place = Place.GPUS
    BINDINGS: ClassVar[list[BindingType]] = bindings_for(Place.GPUS)

    def page(self, width: int) -> Sequence[Line]:
        """A section for each GPU."""
        return gpu_page(self.desk.shown, width, self.desk.look)

    def on_mount(self) -> None:
        """Somebody looks."""
        self.desk.submit(ReadPcie(True))

    def on_unmount(self) -> None:
        """Nobody looks any more."""
        self.desk.submit(ReadPcie(False))
