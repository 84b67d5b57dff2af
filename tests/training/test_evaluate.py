"""Figures of methods whose quality is known, and the entry from end to end on made-up photos."""

from __future__ import annotations

import collections
import dataclasses
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import training
from training.baselines import BASELINES
from training.evaluate import PHOTOS, evaluate, evaluation_photos, make_methods, run
from training.evaluation import HIGHEST_PSNR, EvaluateConfig
from training.protocol import Windows, seam_figure, spread_pairs
from wrb import save_generator

NUM_PHOTOS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Layers of colours that differ from photo to photo, and are the same from left to right."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for number in range(NUM_PHOTOS):
        layers = np.repeat(random.integers(0, 256, (8, 1, 3)), 40, axis=0)
        Image.fromarray(np.repeat(layers, 800, axis=1).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def config(folder):
    return EvaluateConfig(
        photos=(folder,),
        gap_columns=(1, 4),
        feature_network="efficientnet-lite0",
        distance_network="efficientnet-lite0",
        num_pairs=8,
        num_real=12,
        batch_size=4,
    )


def continuing(left, right, width):
    """Perfect between the two sides of a layered photo."""
    return torch.cat([left, left[..., -1:].expand(*left.shape[:-1], width), right], dim=-1)


def noise(left, right, width):
    generator = torch.Generator().manual_seed(0)
    return torch.cat([left, torch.rand(*left.shape[:-1], width, generator=generator), right], dim=-1)


def test_the_seam_figure_of_known_panoramas():
    ramp = torch.arange(32.0).expand(1, 3, 4, 32) / 100
    stepped = torch.cat([ramp[..., :8], ramp[..., 8:] + 0.03], dim=-1)
    ends_flat = torch.cat([ramp[..., :8], ramp[..., 7:8].expand(-1, -1, -1, 16), ramp[..., 8:16]], dim=-1)
    one_channel = torch.cat([ramp[..., :8], ramp[..., 8:] + torch.tensor([0.03, 0, 0])[:, None, None]], dim=-1)
    figures = seam_figure(torch.cat([ramp, stepped, ends_flat, one_channel]), 8, 16)
    # one of the two edges: a step of 4 beside the usual 1; none beside 1; and one channel of three
    torch.testing.assert_close(figures, torch.tensor([1, (4 + 1) / 2, (0 + 1) / 2, (2 + 1) / 2]))


def test_the_seam_figure_of_photos_without_detail_is_finite():
    panoramas = torch.zeros(1, 3, 4, 32)
    assert seam_figure(panoramas, 8, 16) == 0
    panoramas[..., 8:24] = 1 / 255
    torch.testing.assert_close(seam_figure(panoramas, 8, 16), torch.tensor([2.0]))


@pytest.mark.parametrize(("num_photos", "num_pairs"), [(2, 2), (5, 12), (7, 42), (40, 30)])
def test_pairs_are_different_spread_evenly_and_seeded(num_photos, num_pairs):
    pairs = spread_pairs(num_photos, num_pairs, seed=3)
    assert len(set(pairs)) == num_pairs
    assert all(left != right for left, right in pairs)
    for side in zip(*pairs, strict=True):
        counts = collections.Counter(dict.fromkeys(range(num_photos), 0))
        counts.update(side)
        assert max(counts.values()) - min(counts.values()) <= 1
    assert spread_pairs(num_photos, num_pairs, seed=3) == pairs
    assert len({tuple(spread_pairs(num_photos, num_pairs, seed)) for seed in range(20)}) > 1


def test_more_pairs_than_there_are_are_refused():
    with pytest.raises(ValueError, match="num_pairs is 7; of 3 photos there are 6"):
        spread_pairs(3, 7, seed=0)


def test_windows_are_parts_of_each_photo_at_random_places(tmp_path):
    rows, columns = np.mgrid[0:300, 0:800]
    for blue in (0, 90):
        pixels = np.stack([rows % 256, columns % 256, np.full_like(rows, blue)], axis=-1).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{blue}.png")
    photos = sorted(tmp_path.iterdir())
    anywhere = Windows(photos, 12, 768, seed=0, anywhere=True)
    central = Windows(photos, 12, 768, seed=0, anywhere=False)
    assert anywhere[0].shape == (3, 256, 512)
    corners = [(anywhere[number][:, 0, 0] * 255).round().int().tolist() for number in range(len(anywhere))]
    assert collections.Counter(corner[2] for corner in corners) == {0: 6, 90: 6}
    assert len({corner[0] for corner in corners}) > 3 and len({corner[1] for corner in corners}) > 3
    assert {(central[number][0, 0, 0] * 255).round().int().item() for number in range(len(central))} == {22}
    assert torch.equal(anywhere[5], Windows(photos, 12, 768, seed=0, anywhere=True)[5])
    assert not torch.equal(anywhere[5], Windows(photos, 12, 768, seed=1, anywhere=True)[5])


@pytest.fixture(scope="module")
def figures(config):
    config = dataclasses.replace(config, gap_columns=(4,))
    evaluation = evaluate(config, evaluation_photos(config), {"continuing": continuing, "noise": noise})
    return {line.method: line for line in evaluation.figures}


@pytest.mark.slow
def test_a_perfect_gap_is_as_good_as_can_be(figures):
    perfect = figures["continuing"]
    assert perfect.psnr == pytest.approx(HIGHEST_PSNR)
    assert perfect.perceptual_distance == 0


@pytest.mark.slow
def test_noise_is_worse_than_a_good_gap_in_every_figure(figures):
    good, bad = figures["continuing"], figures["noise"]
    assert bad.frechet_distance > 1.5 * good.frechet_distance
    assert bad.kernel_distance > 1.5 * good.kernel_distance
    assert bad.psnr < 15 < good.psnr
    assert bad.perceptual_distance > 0.1
    assert bad.seam > 1.5 * good.seam


@pytest.mark.slow
def test_the_photos_are_the_nearest_to_themselves(figures):
    photos = figures[PHOTOS]
    assert photos.kernel_distance < figures["continuing"].kernel_distance
    assert photos.frechet_distance < figures["continuing"].frechet_distance
    assert photos.seam == 0  # every column is like the next
    assert photos.psnr is None and photos.perceptual_distance is None


@pytest.mark.slow
def test_methods_see_photos_of_one_size_and_every_gap_width(config):
    seen = set()

    def watching(left, right, width):
        seen.add((left.shape[1:], right.shape[1:], width))
        assert not torch.equal(left, right) or (left == left[..., :1]).all()
        return continuing(left, right, width)

    photos = evaluation_photos(config)
    evaluation = evaluate(config, photos, {"watching": watching})
    square = torch.Size([3, 256, 256])
    assert seen == {(square, square, 64), (square, square, 256)}
    assert [(line.method, line.gap_columns) for line in evaluation.figures] == [
        ("watching", 1),
        (PHOTOS, 1),
        ("watching", 4),
        (PHOTOS, 4),
    ]


@pytest.mark.slow
def test_the_entry_leaves_a_table_figures_and_sheets(config, tmp_path, tiny_generator, capsys):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_generator(tiny_generator, tmp_path / name / "best.safetensors")
    weights = tuple(tmp_path / name / "best.safetensors" for name in ("a", "b"))
    run(dataclasses.replace(config, weights=weights, out=tmp_path / "results", num_pairs=None, num_real=None))

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
    assert counts == [NUM_PHOTOS, NUM_PHOTOS * (NUM_PHOTOS - 1), 8 * NUM_PHOTOS]
    assert report["settings"]["gap_columns"] == [1, 4]
    for text in (printed, json.dumps(report)):
        assert str(tmp_path) not in text and str(config.photos[0]) not in text

    widest, height = 512 + 256, 28 + 8 * (256 + 8) - 8
    for name, num_columns in (("pairs", 2 + len(BASELINES)), ("reconstructions", 3 + len(BASELINES))):
        with Image.open(tmp_path / "results" / f"{name}.png") as sheet:
            assert sheet.size == (num_columns * (widest + 8) - 8, height)


def test_methods_are_the_built_in_model_and_the_baselines(tiny_generator, tmp_path):
    assert next(iter(make_methods((), "cpu"))) == "built-in"
    save_generator(tiny_generator, tmp_path / "a.safetensors")
    methods = make_methods((tmp_path / "a.safetensors",), "cpu")
    assert list(methods)[:2] == ["a", "cross-fade"]
    left, right = torch.rand(2, 1, 3, 256, 256)
    for method in methods.values():
        panorama = method(left, right, 128)
        assert panorama.shape == (1, 3, 256, 640)
        assert torch.equal(panorama[..., :256], left) and torch.equal(panorama[..., -256:], right)
    save_generator(tiny_generator, tmp_path / "a.other")
    assert list(make_methods((tmp_path / "a.safetensors", tmp_path / "a.other"), "cpu"))[:2] == [
        "a.safetensors",
        "a.other",
    ]
    with pytest.raises(ValueError, match="name each file once"):
        make_methods((tmp_path / "a.safetensors",) * 2, "cpu")


def test_the_held_back_photos_are_taken_and_one_is_too_few(config, tmp_path):
    photos = sorted(config.photos[0].iterdir())
    held_back = tmp_path / "validation_photos.txt"
    held_back.write_text(f"{photos[1]}\n{photos[3]}\n")
    config = dataclasses.replace(config, held_back=held_back)
    assert evaluation_photos(config) == [photos[1], photos[3]]
    held_back.write_text(f"{photos[2]}\n")
    with pytest.raises(ValueError, match=r"2\.png is the only photo of at least 768×256 px"):
        evaluation_photos(config)


def test_photos_too_narrow_for_the_widest_gap_are_skipped(config, tmp_path, caplog):
    for number in range(2):
        Image.new("RGB", (1100, 300)).save(tmp_path / f"wide{number}.png")
    config = dataclasses.replace(config, photos=(tmp_path, *config.photos), gap_columns=(2, 8))
    assert [photo.name for photo in evaluation_photos(config)] == ["wide0.png", "wide1.png"]
    assert "0.png" in caplog.text and "1024×256" in caplog.text


@pytest.mark.parametrize(
    "setting",
    [
        *({"gap_columns": columns} for columns in ((), (0,), (33,), (4, 4))),
        *({name: 0} for name in ("num_pairs", "num_real", "batch_size")),
    ],
)
def test_impossible_settings_are_refused_by_name(config, setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        dataclasses.replace(config, **setting)


@pytest.mark.parametrize("name", ["evaluate", "sheet"])
def test_the_entry_runs_as_a_plain_script(name, monkeypatch, capsys):
    script = Path(training.__file__).with_name(f"{name}.py")
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    monkeypatch.setattr(sys, "path", [str(script.parent), *sys.path])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    assert ended.value.code == 0
    assert "--held-back" in capsys.readouterr().out
