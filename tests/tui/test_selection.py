"""The cursor and the marks of a table, through any changes of its rows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tui.widgets.selection import Selection
from tui.widgets.table_layout import Row

orders = st.lists(st.integers(0, 12), unique=True)


@given(st.lists(orders, min_size=1), st.data())
def test_the_cursor_is_always_on_a_row_and_stays_on_it(changes: list[list[int]], data: st.DataObject) -> None:
    selection = Selection()
    for keys in changes:
        before, place = selection.key, selection.place
        selection.replace([Row(key, ()) for key in keys])
        if before in keys:
            assert selection.key == before
        elif keys:
            assert selection.key == keys[min(place, len(keys) - 1)]
        else:
            assert selection.key is None
        assert selection.marked <= set(keys)
        assert not keys or keys[selection.place] == selection.key
        if keys:
            target = data.draw(st.sampled_from(keys))
            was_marked = target in selection.marked
            assert selection.move_to(target)
            selection.toggle_mark()
            assert (target in selection.marked) is not was_marked
        assert not selection.move_to(99)
