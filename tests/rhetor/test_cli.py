"""What the hub's own commands import: an agent waits for `rhetor mcp`, and scripts call `rhetor token`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_a_command_that_reads_no_setting_does_not_import_the_settings(tmp_path: Path) -> None:
    code = "import sys, rhetor.cli as c; c.main(['token']); print('rhetor.settings' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "RHETOR_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=True,
    )
    token, imported = ran.stdout.split()
    assert (token, imported) == ((tmp_path / "home" / "token").read_text().strip(), "False")
