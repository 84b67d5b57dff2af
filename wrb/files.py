"""Writing a file so that a reader sees all of it or none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a path beside `path`, of the same extension, to write to; it becomes `path` once the block has succeeded.

    Raises:
        OSError: if no file can be made there.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    partial.touch()
    usual_mode = partial.stat().st_mode  # safetensors writes files that nobody but the owner can read
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())  # else a power cut could leave the name without the contents
        partial.chmod(usual_mode)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def remove_partial_files(folder: Path) -> None:
    """Remove what killed processes had half written; for a folder that no other process writes to."""
    for path in folder.glob(".*.partial.*"):
        path.unlink()
