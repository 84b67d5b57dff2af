"""A short run of `scripts.kill`: a process that dies at any moment leaves no half file under a final name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals there")
def test_files_are_whole_or_not_there_after_a_kill() -> None:
    said = kill("--times", "4")
    for name in ("convert", "panorama", "folders"):
        assert re.search(rf"{name}: killed \d of 4 times before its end, 0 half files, complete and rid of \d", said)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals there")
def test_a_training_run_that_is_killed_learns_what_an_undisturbed_one_learns() -> None:
    said = kill("--training", "--times", "4", "--epochs", "3")
    assert re.search(r"27 steps, killed \d of 4 times before its end, .* 0 faults, the same in the end", said)


def kill(*options: str) -> str:
    """Run the script, which must find nothing; returns what it says."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "scripts.kill", *options]
    finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout
