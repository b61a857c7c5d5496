"""Where the reference data is, and what to say where it is not."""

import os
from pathlib import Path

from conftest import skip_or_fail
from support import PROJECT


def reference_folder(place: str) -> Path:
    """A folder of the reference data; without it the test is skipped, or fails in CI."""
    root = Path(os.environ.get("CDP_REFERENCE_DATA") or PROJECT.parent / "shared/data")
    if not (root / place).is_dir():
        skip_or_fail(f"{place} is not here; set CDP_REFERENCE_DATA to the folder that holds it")
    return root / place
