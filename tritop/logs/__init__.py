"""Server logs: Triton's own formats understood, entries of many lines joined, text made harmless. Pure.

```
source (file, engine) --LogChunk: raw lines--> LogReader --LogLine--> Sieve (filter) --> screen or command line
```
"""

from tritop.logs.line import LogLevel, LogLine, level_named, saved_line
from tritop.logs.reader import LogReader
from tritop.logs.sieve import LogFilter, Sieve
from tritop.logs.source import HasLog, LogChunk, LogSource

__all__ = [
    "HasLog",
    "LogChunk",
    "LogFilter",
    "LogLevel",
    "LogLine",
    "LogReader",
    "LogSource",
    "Sieve",
    "level_named",
    "saved_line",
]
