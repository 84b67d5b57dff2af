from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from training.config import FineTuningConfig, SelfReconstructionConfig, differences, parse_config, read_config

DEFAULTS = {
    **{"photos": ["photos"], "out": "run", "start_from": None, "start_discriminator": None},
    **{"width": None, "attention_levels": None, "skip_levels": None, "discriminator_width": 64},
    **{"discriminator_height": 256},
    **{"gap_columns": [4, 4], "batch_size": 20, "parts": 1, "epochs": 200},
    **{"learning_rate": 0.001, "discriminator_learning_rate": 0.0001, "halve_every": 0, "decay": 0.0},
    **{"weight_decay": 2e-05, "clip_gradient": 0.0, "discriminator_interval": 3},
    **{"pixel_weight": 1.0, "pyramid_weight": 0.0, "feature_weight": 1.0, "consistency_weight": 1.0},
    **{"texture_weight": 0.01, "adversarial_weight": 0.0018, "normalised_features": False, "meet_edges": False},
    **{"texture_network": "vgg19", "texture_weights": None},
    **{"mirror": False, "zoom_out": False, "zoom_in": 1.0, "mix_skies": 0.0, "colour": 0.0},
    **{"validation_share": 0.06, "validation_photos": None},
    **{"average_decay": 0.999, "keep_by": "loss", "validate_every": 200, "save_every": 100, "workers": 2},
    **{"cache": None, "mixed_precision": None, "cpu": False, "seed": 0},
}
"""A config.json of the first stage, and the order of the flags."""

FINE_TUNING_DEFAULTS = {
    **DEFAULTS,
    **{"batch_size": 28, "learning_rate": 0.002, "discriminator_learning_rate": 0.0002, "halve_every": 50},
    **{"keep_by": "kid", "pairs": None, "nearest": 3},
}

STAGES = [(SelfReconstructionConfig, DEFAULTS), (FineTuningConfig, FINE_TUNING_DEFAULTS)]


@pytest.mark.parametrize(("kind", "defaults"), STAGES)
def test_the_file_of_settings_stays_as_others_have_it(kind, defaults, tmp_path):
    """Runs go on from files that were written by what the groups of settings were before."""
    written = json.loads(kind(photos=(Path("photos"),), out=Path("run")).to_json())
    assert list(written.items()) == list(defaults.items())
    (tmp_path / "config.json").write_text(json.dumps(defaults))
    assert read_config(kind, tmp_path / "config.json") == kind(photos=(Path("photos"),), out=Path("run"))


@pytest.mark.parametrize(("kind", "defaults"), STAGES)
def test_the_flags_stay_as_others_use_them(kind, defaults, capsys):
    with pytest.raises(SystemExit):
        parse_config(kind, "", ["--help"])
    flags = re.findall(r"^\W{1,3}--([a-z][a-z-]*)", capsys.readouterr().out, re.MULTILINE)
    assert [flag.replace("-", "_") for flag in flags] == ["config", *defaults]


def test_settings_go_to_a_file_and_come_back(config, fine_tuning_config, tmp_path):
    for settings in (config, fine_tuning_config):
        (tmp_path / "config.json").write_text(settings.to_json())
        assert read_config(type(settings), tmp_path / "config.json") == settings


def test_the_command_line_overrides_the_file(config, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(config.to_json())
    arguments = ["--config", str(path), "--learning-rate", "0.5", "--attention-levels", "0", "4"]
    parsed = parse_config(SelfReconstructionConfig, "", arguments)
    assert parsed == dataclasses.replace(config, learning_rate=0.5, attention_levels=(0, 4))
    assert set(differences(parsed, config)) == {"learning_rate", "attention_levels"}
    assert differences(parsed, config)["learning_rate"] == "0.001 before, now 0.5"


@pytest.mark.parametrize("kind", [SelfReconstructionConfig, FineTuningConfig])
def test_every_setting_is_explained_on_the_command_line(kind, capsys):
    with pytest.raises(SystemExit):
        parse_config(kind, "What it does.", ["--help"])
    shown = capsys.readouterr().out
    assert "What it does." in shown and "--config FILE" in shown
    for field in dataclasses.fields(kind):
        option = "--" + field.name.replace("_", "-")
        explanation = shown.partition(f"{option} ")[2] or shown.partition(f"{option},")[2]
        assert len(explanation.partition("│ --")[0].split()) > 5, f"{option} is not explained"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "Invalid JSON"),
        ('{"photos": ["a"]}', "out: Field required"),
        ('{"photos": ["a"], "out": "b", "leaning_rate": 1}', "leaning_rate: Unexpected"),
        ('{"photos": ["a"], "out": "b", "batch_size": 0}', "batch_size is 0"),
    ],
)
def test_a_file_of_something_else_is_refused_by_name(tmp_path, text, complaint):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=complaint) as error:
        read_config(SelfReconstructionConfig, path)
    assert str(path) in str(error.value)
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        read_config(SelfReconstructionConfig, tmp_path / "missing.json")


@pytest.mark.parametrize(
    "setting",
    [
        {"batch_size": 0},
        {"validation_share": 1.0},
        {"decay": 2.0},
        {"learning_rate": -1.0},
        {"colour": 1.5},
        {"mix_skies": -0.1},
        {"zoom_in": 0.5},
        {"zoom_in": 1.5, "zoom_out": False},
        {"gap_columns": (0, 4)},
        {"gap_columns": (5, 4)},
    ],
)
def test_impossible_settings_are_refused_by_name(config, setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        dataclasses.replace(config, **setting)


def test_half_a_batch_of_fine_tuning_is_pairs(fine_tuning_config):
    assert dataclasses.replace(fine_tuning_config, batch_size=28).samples_per_batch == 14
    with pytest.raises(ValueError, match="batch_size is 3; it must be even"):
        dataclasses.replace(fine_tuning_config, batch_size=3)


def test_crops_hold_the_widest_gap_and_what_the_discriminator_sees(config):
    widths = [dataclasses.replace(config, gap_columns=(2, widest)).crop_width for widest in (2, 4, 8)]
    assert widths == [768, 768, 1024]
