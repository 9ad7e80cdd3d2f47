"""The cache folder: what can be made again from other files, and may be deleted at any time."""

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """$INTARSIA_CACHE, or the place that the system has for such files; it may not exist yet."""
    if own := os.environ.get("INTARSIA_CACHE"):
        return Path(own)
    if sys.platform == "win32":
        above = os.environ.get("LOCALAPPDATA")
    elif sys.platform == "darwin":
        above = str(Path.home() / "Library" / "Caches")
    else:
        above = os.environ.get("XDG_CACHE_HOME")
    return (Path(above) if above else Path.home() / ".cache") / "intarsia"
