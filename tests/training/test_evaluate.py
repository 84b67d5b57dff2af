"""The command from end to end on made-up photos."""

from __future__ import annotations

import dataclasses
import json
import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image

import training
from training.evaluate import evaluation_photos, run
from training.evaluation.baselines import BASELINES
from wrb import save_generator


@pytest.mark.slow
def test_the_entry_leaves_a_table_figures_and_sheets(evaluate_config, tmp_path, tiny_generator, capsys):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_generator(tiny_generator, tmp_path / name / "best.safetensors")
    weights = tuple(tmp_path / name / "best.safetensors" for name in ("a", "b"))
    run(dataclasses.replace(evaluate_config, weights=weights, out=tmp_path / "results", num_pairs=None, num_real=None))

    printed = "".join(line for line in capsys.readouterr().out.splitlines(keepends=True) if line.startswith("|"))
    report = json.loads((tmp_path / "results" / "results.json").read_text())
    assert printed in (tmp_path / "results" / "results.md").read_text()
    assert "KID ×1000 ↓ (efficientnet-lite0)" in printed
    assert len(printed.splitlines()) == 2 + len(report["figures"]) == 2 + 2 * (2 + len(BASELINES) + 1)
    methods = [line["method"] for line in report["figures"]]
    assert methods[:3] == ["a/best", "b/best", "cross-fade"]
    first, second = ({**line, "method": ""} for line in report["figures"][:2])
    assert first == second, "the same weights, the same figures"
    counts = [report[name] for name in ("num_photos", "num_pairs", "num_real")]
    assert counts == [4, 4 * 3, 8 * 4]
    assert report["settings"]["gap_columns"] == [1, 4]
    for text in (printed, json.dumps(report)):
        assert str(tmp_path) not in text and str(evaluate_config.photos[0]) not in text

    widest, height = 512 + 256, 28 + 8 * (256 + 8) - 8
    for name, num_columns in (("pairs", 2 + len(BASELINES)), ("reconstructions", 3 + len(BASELINES))):
        with Image.open(tmp_path / "results" / f"{name}.png") as sheet:
            assert sheet.size == (num_columns * (widest + 8) - 8, height)


def test_the_held_back_photos_are_taken_and_one_is_too_few(evaluate_config, tmp_path):
    photos = sorted(evaluate_config.photos[0].iterdir())
    held_back = tmp_path / "validation_photos.txt"
    held_back.write_text(f"{photos[1]}\n{photos[3]}\n")
    config = dataclasses.replace(evaluate_config, held_back=held_back)
    assert evaluation_photos(config) == [photos[1], photos[3]]
    held_back.write_text(f"{photos[2]}\n")
    with pytest.raises(ValueError, match=r"2\.png is the only photo .*; name more in .*photos\.txt, or do"):
        evaluation_photos(config)


def test_photos_too_narrow_for_the_widest_gap_are_skipped(evaluate_config, tmp_path, caplog):
    for number in range(2):
        Image.new("RGB", (1100, 300)).save(tmp_path / f"wide{number}.png")
    config = dataclasses.replace(evaluate_config, photos=(tmp_path, *evaluate_config.photos), gap_columns=(2, 8))
    assert [photo.name for photo in evaluation_photos(config)] == ["wide0.png", "wide1.png"]
    assert "0.png" in caplog.text and "1024×256" in caplog.text


@pytest.mark.parametrize("name", ["evaluate", "sheet"])
def test_the_entry_runs_as_a_plain_script(name, monkeypatch, capsys):
    script = Path(training.__file__).with_name(f"{name}.py")
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    monkeypatch.setattr(sys, "path", [str(script.parent), *sys.path])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    assert ended.value.code == 0
    assert "--held-back" in capsys.readouterr().out
