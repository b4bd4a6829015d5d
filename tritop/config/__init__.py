"""Configuration: what flags, environment, target and file come to, and where each setting came from.

Precedence: flag > environment > `[targets.NAME]` > top level of the file > default.
"""

from tritop.config.effective import Configuration, Setting, load
from tritop.config.endpoints import Resolved, endpoint_of, resolve_targets

__all__ = ["Configuration", "Resolved", "Setting", "endpoint_of", "load", "resolve_targets"]
