"""Record what Debian's dockerd does: ``python -m tests.e2e.transcript.record [CASE…]``.

Writes ``dockerd-20.10.json`` beside this file; with names, prints those cases only.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.e2e.transcript import dockerd
from tests.e2e.transcript.player import Player
from tests.e2e.transcript.script import CASES

RECORDING = Path(__file__).with_name("dockerd-20.10.json")


def main(wanted: list[str]) -> None:
    recording = {}
    failures: list[str] = []
    with dockerd.running() as host:
        player = Player(host, dockerd.CLI, dockerd.NAMES)
        for case in CASES:
            if wanted and case.name not in wanted:
                continue
            print(case.name, file=sys.stderr)
            try:
                recording[case.name] = player.play(case)
            except AssertionError as error:
                failures.append(f"{case.name}: {error}")
    text = json.dumps(recording, indent=1, ensure_ascii=True) + "\n"
    if failures:
        raise SystemExit("\n".join(failures))
    if wanted:
        print(text)
    else:
        RECORDING.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
