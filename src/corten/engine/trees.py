"""Directories of our own; blocking, for the pool."""

from __future__ import annotations

import os


def remove_tree(path: str) -> None:
    """Remove a directory with everything in it; one that is gone is no error. It follows no
    symbolic link and must not be in the hands of anybody else."""
    try:
        entries = list(os.scandir(path))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            remove_tree(entry.path)
        else:
            _unlink(entry.path)
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return


def fresh_directory(path: str) -> None:
    """An empty directory that only we may enter, whatever was there."""
    remove_tree(path)
    os.makedirs(path, mode=0o700)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
