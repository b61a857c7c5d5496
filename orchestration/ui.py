"""`make ui`: Dagster's web UI and daemon over this home's runs, on loopback."""

import os
import sys
from pathlib import Path

from orchestration.cli import demo_date, say
from orchestration.home import Home, make_secrets
from orchestration.project import ensure_manifest, set_environment


def main() -> None:
    """Replace this process with `dagster dev`; the port is `CDP_UI_PORT`, 3000 by default."""
    home = Home.from_environment().ensure()
    make_secrets(home)
    set_environment(home)
    ensure_manifest(home, demo_date(home), say)
    port = os.environ.get("CDP_UI_PORT", "3000")
    say(f"Dagster: http://127.0.0.1:{port} (Ctrl-C ends it)")
    dagster = str(Path(sys.executable).with_name("dagster"))
    os.execv(
        dagster,
        [dagster, "dev", "-m", "orchestration.definitions", "-h", "127.0.0.1", "-p", port],
    )


if __name__ == "__main__":
    main()
