"""From Snapshots to rows, bars and lines: pure functions, no widget is touched here."""
