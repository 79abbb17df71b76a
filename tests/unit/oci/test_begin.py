"""What a glance at the arguments and the configuration makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from corten.oci import begin


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("run -b /b c", (begin.DEFAULT_ROOT, "/b")),
        ("--root /r create --bundle=/b --pid-file p c", ("/r", "/b")),
        ("--root=/r --debug run -d c", ("/r", ".")),
        ("run --preserve-fds 1 c", None),
        ("--systemd-cgroup run c", None),
        ("run", None),
        ("state c", None),
        ("exec c run", None),
    ],
)
def test_arguments(words: str, found: tuple[str, str] | None) -> None:
    assert begin._glance(["corten-oci", *words.split()]) == found
    assert begin.makes(["corten-oci", *words.split()]) == (found is not None)


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        ('{"namespaces": [{"type": "pid"}]}', True),
        ('{"namespaces": [{"type": "mount"}]}', False),
        ('{"namespaces": [{"type": "pid"}], "uidMappings": []}', False),
        ('{"namespaces": [{"type": "pid"}], "timeOffsets": {}}', False),
        ("", False),
    ],
)
def test_configurations(tmp_path: Path, text: str, looks: bool) -> None:
    assert begin._look(str(tmp_path)) is None
    (tmp_path / "config.json").write_text(text)
    assert begin._look(str(tmp_path)) == (text.encode() if looks else None)
