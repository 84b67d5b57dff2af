"""A short run of `scripts.fuzz`: what is fed to readers and blends ends in a right result or in the promised error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scripts import fuzz

ROOT = Path(__file__).parents[1]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "count"), [("weights", 60), ("blends", 12), ("images", 250)])
def test_a_short_run_finds_nothing(kind: str, count: int, tmp_path: Path) -> None:
    watch = fuzz.Watch(tmp_path)
    for number in range(count):
        with watch:
            fuzz.CASES[kind](np.random.default_rng((7, number)), tmp_path)
        assert not watch.seen and not (tmp_path / "executed").exists(), f"input {number}"
        for path in tmp_path.iterdir():
            path.unlink()


def test_what_an_input_does_to_the_system_is_seen(tmp_path: Path) -> None:
    watch = fuzz.Watch(tmp_path / "inputs")
    with watch:
        (tmp_path / "elsewhere").touch()
        os.system(":")
    assert len(watch.seen) == 2


@pytest.mark.slow
def test_the_command_counts_and_names_what_it_finds(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.fuzz", "--images", "3", "--first", "5"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("images: 3 inputs: ")
    assert finished.stdout.endswith("0 findings\n")


def test_what_is_found_is_printed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = []

    def case(random: np.random.Generator, folder: Path) -> str:
        printed.append(capsys.readouterr().out)
        raise RuntimeError("a fault")

    monkeypatch.setitem(fuzz.CASES, "images", case)
    monkeypatch.setattr(fuzz.faulthandler, "dump_traceback_later", lambda *_, **__: None)
    fuzz.work("images", 0, 3, 5, str(tmp_path))
    assert printed[0] == ""
    assert printed[1].startswith("images 3: Traceback")
    assert printed[1].endswith("RuntimeError: a fault\n\n")
    assert json.loads((tmp_path / "report").read_text())["counts"] == {"found": 2}


def test_a_crash_is_a_finding_and_the_rest_is_worked_through(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Process:
        """Dies of its second input."""

        exitcode = -11

        def __init__(self, target: object, args: tuple[str, int, int, int, str]) -> None:
            self.report = Path(args[-1]) / "report"

        def start(self) -> None:
            self.report.write_text('{"counts": {"read": 1}, "slowest": 0, "memory": 0, "next": 1}')

        def join(self) -> None:
            pass

    monkeypatch.setattr(fuzz.multiprocessing, "get_context", lambda name: type("", (), {"Process": Process}))
    chunk = fuzz.run_chunk("images", 0, 0, 9)
    assert capsys.readouterr().out == "images 1: the process ended with -11\n"
    assert (chunk["next"], chunk["counts"]) == (2, {"read": 1, "found": 1})
