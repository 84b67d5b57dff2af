"""What the example graphs make, through ComfyUI's API. test_page.py loads and runs each in the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.comfyui.conftest import assert_is_generated
from tests.comfyui.example_graphs import PHOTO_SIZE, read_saved, read_workflow
from tests.comfyui.server import ROOT, ComfyServer
from wrb.resampling import resize

pytestmark = pytest.mark.comfyui

SAMPLE_HEIGHT = 720


def read_sample(name: str) -> np.ndarray:
    return np.asarray(Image.open(ROOT / "samples" / f"wrb_sample_{name}.jpg").convert("RGB"))


def read_small(server: ComfyServer, side: str) -> np.ndarray:
    return np.asarray(Image.open(server.base / "input" / "small" / f"{side}.png"))


@pytest.mark.parametrize("path", sorted((ROOT / "workflows").glob("*.json")), ids=lambda path: path.stem)
def test_graph_has_a_form_for_the_app_mode(path: Path) -> None:
    saved = read_saved(path.stem)
    nodes = {node["id"]: node for node in saved["nodes"]}
    form = saved["extra"]["linearData"]
    assert form["inputs"]
    described = [(name, *more) for _, name, *more in form["inputs"]]
    assert len({str(text) for text in described}) == len(described)  # no two inputs read alike
    for node_id, name, *_ in form["inputs"]:
        assert name in {socket["name"] for socket in nodes[node_id]["inputs"] if "widget" in socket}
    assert {nodes[node_id]["type"] for node_id in form["outputs"]} <= {
        "SaveImage",
        "PreviewImage",
        "WRBPreviewPanorama",
    }


@pytest.mark.parametrize(("name", "saved_by", "gap_width"), [("blend_two_photos", "5", 720), ("adjust_gap", "7", 1440)])
def test_two_photos_are_kept_beside_a_generated_gap(
    server: ComfyServer, name: str, saved_by: str, gap_width: int
) -> None:
    panorama = server.run(read_workflow(name)).picture(saved_by)
    left, right = read_sample("desert"), read_sample("lake")
    gap_end = left.shape[1] + gap_width
    assert panorama.shape == (SAMPLE_HEIGHT, gap_end + right.shape[1], 3)
    np.testing.assert_array_equal(panorama[:, : left.shape[1]], left)
    np.testing.assert_array_equal(panorama[:, gap_end:], right)
    assert_is_generated(panorama[:, left.shape[1] : gap_end])


def test_four_photos_are_kept_in_a_loop_that_shows_no_seam(server: ComfyServer) -> None:
    panorama = server.run(read_workflow("loop_four_photos")).picture("9")
    lake = read_sample("lake")
    photos = [read_sample("desert"), lake, read_sample("tea_gardens"), lake[:, ::-1]]
    start, edges = 0, []
    for photo in photos:
        end = start + photo.shape[1]
        np.testing.assert_array_equal(panorama[:, start:end], photo)
        assert_is_generated(panorama[:, end : end + SAMPLE_HEIGHT])
        edges += [end - 1, end + SAMPLE_HEIGHT - 1]
        start = end + SAMPLE_HEIGHT
    assert panorama.shape == (SAMPLE_HEIGHT, start, 3)
    steps = np.abs(np.roll(panorama, -1, axis=1).astype(float) - panorama).mean(axis=(0, 2))
    assert steps[edges].max() <= 1.5 * np.median(steps)


def test_photos_are_back_after_an_upscale_model(server: ComfyServer, example_files: None, upscale_model: None) -> None:
    graph = read_workflow("upscale_and_restore")
    graph["plain"] = {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "plain"}}
    run = server.run(graph)
    restored, plain = run.picture("8"), run.picture("plain")
    width, height = PHOTO_SIZE
    assert restored.shape == plain.shape == (2 * height, 2 * (2 * width + height), 3)
    for side, place in (("left", slice(0, 2 * width)), ("right", slice(-2 * width, None))):
        photo = torch.from_numpy(read_small(server, side) / np.float32(255)).permute(2, 0, 1)[None]
        expected = resize(photo, 2 * height, 2 * width)[0].permute(1, 2, 0).numpy() * 255
        assert np.abs(restored[:, place] - expected).max() <= 1
        assert np.abs(plain[:, place] - expected).mean() > 1  # the model had drawn it anew
    gap = slice(2 * width, -2 * width)
    assert np.abs(restored[:, gap].astype(float) - plain[:, gap]).mean() < 8
    assert_is_generated(restored[:, gap])


def is_noise(painted: np.ndarray) -> np.ndarray:
    """The checkpoint paints noise where it may, and coarse squares of 8 px elsewhere: nodes_tiny_checkpoint.py."""
    return (painted == 0) | (painted == 255)


def test_gap_alone_is_repainted(server: ComfyServer, example_files: None) -> None:
    graph = read_workflow("repaint_gap")
    graph["painted"] = {"class_type": "SaveImage", "inputs": {"images": ["13", 0], "filename_prefix": "painted"}}
    run = server.run(graph)
    restored, painted = run.picture("16"), run.picture("painted")
    width, height = PHOTO_SIZE
    overlap, context = graph["7"]["inputs"]["grow"], height // 2
    assert overlap == graph["14"]["inputs"]["feather"]
    assert painted.shape == (height, 2 * context + height, 3)
    assert restored.shape == (height, 2 * width + height, 3)
    left, right = read_small(server, "left"), read_small(server, "right")
    np.testing.assert_array_equal(restored[:, : width - overlap], left[:, : width - overlap])
    np.testing.assert_array_equal(restored[:, overlap - width :], right[:, overlap:])
    beside = left[:, width - context : width - overlap]
    squares = beside[::8, ::8].repeat(8, axis=0).repeat(8, axis=1)
    assert np.abs(painted[:, : context - overlap] - 255 * 3 * np.tanh(squares / 255 / 3)).max() <= 2
    assert is_noise(painted[:, context - overlap : overlap - context]).mean() > 0.5
    gap = restored[:, width:-width].astype(float)
    assert np.abs(np.diff(gap, axis=0)).mean() > 5


def test_every_gap_of_a_loop_is_repainted(server: ComfyServer, example_files: None) -> None:
    graph = read_workflow("repaint_loop")
    graph["blended"] = {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "blended"}}
    run = server.run(graph)
    restored, blended = run.picture("16").astype(float), run.picture("blended")
    width, height = PHOTO_SIZE
    overlap = graph["7"]["inputs"]["grow"]
    assert restored.shape == blended.shape == (height, 3 * (width + height), 3)
    left, right = read_small(server, "left"), read_small(server, "right")
    for number, photo in enumerate((left, right, left)):
        start = number * (width + height)
        kept = slice(start + overlap, start + width - overlap)
        np.testing.assert_array_equal(restored[:, kept], photo[:, overlap:-overlap])
        gap = slice(start + width, start + width + height)
        assert np.abs(np.diff(restored[:, gap], axis=0)).mean() > 5
        assert np.abs(restored[:, gap] - blended[:, gap]).mean() > 10
    steps = np.abs(np.roll(restored, -1, axis=1) - restored).mean(axis=(0, 2))
    assert steps[-1] <= 1.25 * steps[-height:-1].max()  # no more than from one square of the noise to the next
