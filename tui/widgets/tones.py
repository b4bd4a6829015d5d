"""Tones: the few looks that text may have, the same in every widget and every theme.

| tone | means |
| --- | --- |
| `""` | plain |
| `ok` `warn` `error` | the state that it tells |
| `dim` | secondary, or stale |
| `title` | a heading |
| `accent` | what the eye should find first |
| `key` | a key to press |

A tone is never the only sign of anything: a glyph or a word says the same without colour.
"""

from __future__ import annotations

TONES = ("ok", "warn", "error", "dim", "title", "accent", "key")
"""Every tone but the plain one."""
