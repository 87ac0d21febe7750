"""Regular expressions as JSON Schema means them."""

from __future__ import annotations

import re
from functools import cache


@cache
def ecma_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a pattern. ECMA 262's `$` is the very end; Python's also matches before a last newline."""
    return re.compile(re.sub(r"(?<!\\)\$$", r"\\Z", pattern), re.ASCII)
