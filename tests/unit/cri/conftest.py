"""The stubs are generated before the tests are collected."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_GENERATOR = Path(__file__).resolve().parents[3] / "tools/gen_proto.py"
subprocess.run([sys.executable, str(_GENERATOR), "--ensure"], check=True)
