"""The launcher's program: ``python3 -OOIS …/corten/launch/__main__.py fd=3 state=DIR``.

With ``-IS`` of it nothing but the standard library is on the path: the directory that this
package lies in is put in front.
"""

from __future__ import annotations

import sys

sys.path.insert(0, __file__.rsplit("/corten/launch/", 1)[0])
# A warm program writes no bytecode: it may run from a tree that root owns and others made.
sys.dont_write_bytecode = True

# What a monitor touches is imported first, so that it lies together in memory: a page that a
# monitor writes to is its own.
import corten.launch.rehearsal  # noqa: E402, F401 - for its place in memory
from corten.launch.launcher import main  # noqa: E402 - after the path is set

sys.exit(main(sys.argv[1:]))
