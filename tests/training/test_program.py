"""What a user can mend ends a program of training in a line; a fault of the program keeps its traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError

import pytest

from training.perceptual import VGG19Features
from training.program import program

ROOT = Path(__file__).parents[2]


def test_a_mistake_is_told_in_a_line() -> None:
    with pytest.raises(SystemExit, match="^error: no photos$"), program():
        raise ValueError("no photos")
    with pytest.raises(KeyError), program():
        raise KeyError("a fault of the program")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["self_reconstruction", "fine_tuning", "pairs", "evaluate", "sheet", "segmentation"])
def test_every_program_tells_it_so(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", f"training.{name}", "--photos", tmp_path / "none", "--out", tmp_path / "out.png"]
    if name in ("evaluate", "sheet"):
        command += ["--weights", tmp_path / "a.safetensors"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    finished = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert finished.returncode == 1
    assert finished.stderr.startswith(f"error: {tmp_path / 'none'} is not a folder"), finished.stderr


def test_without_a_network_it_is_said_what_to_take(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(**options: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("torchvision.models.vgg19", offline)
    with pytest.raises(OSError, match=r"VGG19 cannot be downloaded .*not known.*name a file .* or another network"):
        VGG19Features()
