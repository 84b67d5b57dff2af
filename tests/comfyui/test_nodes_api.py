"""The nodes in a real ComfyUI, through its API."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import Any
from urllib.error import HTTPError

import numpy as np
import pytest
import torch

from tests.comfyui.api_graphs import blend_graph, columns_of_gaps, save, save_mask, sequence_graph, wait_for_cancel
from tests.comfyui.conftest import assert_is_generated
from tests.comfyui.example_graphs import read_workflow
from tests.comfyui.server import COMFYUI, PACK, ROOT, ComfyServer, Event, Graph, Run
from tests.comfyui.waiting import RUN_TIMEOUT
from tests.conftest import MakeGenerator
from wrb.network.weights import save_generator
from wrb.resampling import resize

pytestmark = pytest.mark.comfyui

NODES = {
    "WRBLoadModel": "Load Wide-Range Blend Model",
    "WRBBlend": "Wide-Range Blend",
    "WRBBlendSequence": "Wide-Range Blend (Sequence)",
    "WRBAdjustGap": "Adjust Gap Width",
    "WRBCropGap": "Crop to Gap",
    "WRBRestorePhotos": "Restore Photos in Panorama",
    "WRBPreviewPanorama": "Preview Panorama",
}

LANGUAGES = ("en", "zh", "ja", "ko", "fr", "es")
"""Those of `locales/`."""

LOAD_PACK = f"""
import asyncio, importlib.util, sys
import comfy.options

comfy.options.enable_args_parsing()
import folder_paths, torch, comfy.model_management, comfy.model_patcher, comfy.utils, comfy_api.latest

before = set(sys.modules)
spec = importlib.util.spec_from_file_location("pack", {str(ROOT / "__init__.py")!r})
sys.modules["pack"] = pack = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
asyncio.run(pack.comfy_entrypoint())
print(*sys.modules.keys() - before)
"""
"""Loads the pack as ComfyUI does and prints which modules that brings besides ComfyUI's own."""

LOAD_PACK_AS_IN_A_NEWER_COMFYUI = """
import inspect
from comfy_api.latest import io

def teach(kind, option):
    def init(self, *arguments, **options):
        setattr(self, option, options.pop(option, None))
        original(self, *arguments, **options)

    original = kind.__init__
    parameter = inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY)
    init.__signature__ = inspect.Signature([*inspect.signature(original).parameters.values(), parameter])
    kind.__init__ = init

teach(io.Schema, "search_aliases")
for kind in (io.Int.Input, io.Float.Input, io.Combo.Input):
    teach(kind, "advanced")
schema = sys.modules["pack.nodes"].WRBBlend.define_schema()
print(*schema.search_aliases)
print(*(field.id for field in schema.inputs if getattr(field, "advanced", None)))
"""


def all_inputs(info: dict[str, Any]) -> dict[str, Any]:
    """From an answer of /object_info: by name, the type and options of every input."""
    return info["input"]["required"] | info["input"].get("optional", {})


@pytest.mark.parametrize("node_id", NODES)
def test_node_is_listed_with_name_category_and_a_tooltip_on_all_it_has(server: ComfyServer, node_id: str) -> None:
    info = server.get(f"/object_info/{node_id}")[node_id]
    assert info["display_name"] == NODES[node_id]
    assert info["category"] == "image/wide-range blend"
    assert info["description"]
    for name, (_, options) in all_inputs(info).items():
        assert options["tooltip"], name
    assert all(info["output_tooltips"])


@pytest.mark.parametrize("node_id", NODES)
def test_node_has_a_help_page_that_names_each_input_and_output(server: ComfyServer, node_id: str) -> None:
    info = server.get(f"/object_info/{node_id}")[node_id]
    text = server.get_text(f"/extensions/{PACK}/docs/{node_id}.md")
    for name in [*all_inputs(info), *info["output_name"]]:
        assert f"`{name}`" in text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("node_id", NODES)
def test_every_text_of_a_node_is_there_in_each_language_and_no_other(
    server: ComfyServer, node_id: str, language: str
) -> None:
    info = server.get(f"/object_info/{node_id}")[node_id]
    texts: dict[str, Any] = {
        "display_name": info["display_name"],
        "description": info["description"],
        "inputs": {
            name: {"name": name, "tooltip": options["tooltip"]} for name, (_, options) in all_inputs(info).items()
        },
    }
    if info["output_name"]:
        outputs = zip(info["output_name"], info["output_tooltips"], strict=True)
        texts["outputs"] = {
            str(slot): {"name": name, "tooltip": tooltip} for slot, (name, tooltip) in enumerate(outputs)
        }
    told = server.get("/i18n")[language]["nodeDefs"]
    assert told.keys() == NODES.keys()
    if language == "en":
        assert told[node_id] == texts
    else:
        assert keys_of_texts(told[node_id]) == keys_of_texts(texts)
        assert told[node_id]["description"] != texts["description"]


def keys_of_texts(texts: dict[str, Any] | str) -> dict[str, Any] | bool:
    """The same dicts with, for each text, whether there is any."""
    return {key: keys_of_texts(text) for key, text in texts.items()} if isinstance(texts, dict) else bool(texts)


def test_pack_keeps_no_start_waiting(server: ComfyServer) -> None:
    """It is loaded, and what takes time to import is not imported with it."""
    assert re.search(rf"[\d.]+ seconds: .*{PACK}$", server.log.read_text(), re.MULTILINE)
    environment = os.environ | {"PYTHONPATH": str(COMFYUI)}
    command = [sys.executable, "-c", LOAD_PACK, "--cpu"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=RUN_TIMEOUT)
    assert run.returncode == 0, run.stderr[-3000:]
    imported = set(run.stdout.splitlines()[-1].split())
    assert imported - sys.stdlib_module_names == {"pack", "pack.nodes"}


def test_newer_comfyui_gets_words_to_search_by_and_folds_what_is_seldom_needed() -> None:
    environment = os.environ | {"PYTHONPATH": str(COMFYUI)}
    command = [sys.executable, "-c", LOAD_PACK + LOAD_PACK_AS_IN_A_NEWER_COMFYUI, "--cpu"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=RUN_TIMEOUT)
    assert run.returncode == 0, run.stderr[-3000:]
    *_, aliases, advanced = run.stdout.splitlines()
    assert {"panorama", "stitch", "join", "outpaint", "in-between", "extend"} <= set(aliases.split())
    assert advanced.split() == ["feather", "direction", "detail", "layers"]


def test_blueprint_is_listed(server: ComfyServer) -> None:
    try:
        listed = server.get("/global_subgraphs")
    except HTTPError:
        pytest.skip("this ComfyUI has no blueprints")
    assert [entry["name"] for entry in listed.values()] == ["Two Photos to Panorama"]


def test_weights_are_listed_built_in_first_then_both_folders(server: ComfyServer) -> None:
    options = server.get("/object_info/WRBLoadModel")["WRBLoadModel"]["input"]["required"]["model_name"][0]
    assert options == ["built-in", "Gen", "broken.pth", "tiny.safetensors"]


def test_weights_that_come_while_comfyui_runs_are_found(server: ComfyServer) -> None:
    added = server.base / "models" / "wrb" / "added later.safetensors"
    shutil.copyfile(added.with_name("tiny.safetensors"), added)
    try:
        assert server.run(blend_graph(weights=added.name)).error is None
    finally:
        added.unlink()


def test_weights_replaced_under_their_name_are_read_again(server: ComfyServer, make_generator: MakeGenerator) -> None:
    weights = server.base / "models" / "wrb" / "retrained.safetensors"
    graph = blend_graph(weights=weights.name, detail=0.0)

    def is_cached(run: Run) -> bool:
        return any("model" in cached["nodes"] for cached in run.events_of("execution_cached"))

    try:
        save_generator(make_generator(width=2), weights)
        before = server.run(graph).picture("save")
        graph["blend"]["inputs"]["gap_width"] = 44
        assert is_cached(server.run(graph))
        graph["blend"]["inputs"]["gap_width"] = 0
        save_generator(make_generator(width=2, seed=1), weights)
        after = server.run(graph)
        assert not is_cached(after)
        assert (after.picture("save") != before).any()
    finally:
        weights.unlink()


def test_samples_are_in_the_input_folder_and_replace_nothing(server: ComfyServer) -> None:
    offered = server.get("/object_info/LoadImage")["LoadImage"]["input"]["required"]["image"][0]
    assert {path.name for path in (ROOT / "samples").glob("*.jpg")} == set(offered)
    assert (server.base / "input" / "wrb_sample_tea_gardens.jpg").read_bytes().endswith(b"the user's own")


def test_adjust_gap_makes_what_blend_makes_with_that_gap(server: ComfyServer) -> None:
    graph = blend_graph(gap_width=100)
    graph["first"] = {"class_type": "WRBBlend", "inputs": graph["blend"]["inputs"] | {"gap_width": 30}}
    graph["adjust"] = {"class_type": "WRBAdjustGap", "inputs": {"blend": ["first", 2], "gap_width": 100}}
    graph["save adjusted"] = {
        "class_type": "SaveImage",
        "inputs": {"images": ["adjust", 0], "filename_prefix": "adjusted"},
    }
    run = server.run(graph)
    np.testing.assert_array_equal(run.picture("save adjusted"), run.picture("save"))


def test_mask_is_white_exactly_where_the_gap_is(server: ComfyServer) -> None:
    run = server.run(blend_graph(gap_width=50, save_mask=True))
    expected = np.zeros((64, 96 + 50 + 96, 3), np.uint8)
    expected[:, 96 : 96 + 50] = 255
    np.testing.assert_array_equal(run.picture("save mask"), expected)


def test_batch_makes_as_many_panoramas(server: ComfyServer) -> None:
    run = server.run(blend_graph(batch=3))
    assert len(run.outputs["save"]["images"]) == 3


def test_transparent_photo_is_composited_over_black(server: ComfyServer) -> None:
    graph = blend_graph()
    graph["all"] = {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 96, "height": 64}}
    graph["transparent"] = {"class_type": "JoinImageWithAlpha", "inputs": {"image": ["left", 0], "alpha": ["all", 0]}}
    graph["blend"]["inputs"]["left"] = ["transparent", 0]
    panorama = server.run(graph).picture("save")
    assert panorama.shape[-1] == 3
    assert (panorama[:, :96] == 0).all()
    assert panorama[:, -96:].mean() > 50


def test_previewed_panorama_is_listed_with_the_run_it_is_of(server: ComfyServer) -> None:
    """As `images`, by which the queue and the list of jobs find a thumbnail."""
    graph = blend_graph(batch=2)
    graph["preview"] = {"class_type": "WRBPreviewPanorama", "inputs": {"panorama": ["blend", 0], "loop": True}}
    shown = server.run(graph).outputs["preview"]
    assert [picture["type"] for picture in shown["images"]] == ["temp", "temp"]
    assert shown["loop"] == [True]


@pytest.mark.parametrize("photos", ["feather in", "redraw"])
def test_photos_are_changed_near_the_gap_only_where_asked(server: ComfyServer, photos: str) -> None:
    kept = server.run(blend_graph(photos="keep exactly", gap_width=51)).picture("save")
    changed = server.run(blend_graph(photos=photos, gap_width=51)).picture("save")
    assert (kept != changed)[:, 80:96].any()
    np.testing.assert_array_equal(changed[:, :20], kept[:, :20])


def test_detail_is_the_photos(server: ComfyServer) -> None:
    plain, full = (server.run(blend_graph(detail=detail)).picture("save").astype(float) for detail in (0.0, 1.0))
    default = server.run(blend_graph()).picture("save")
    np.testing.assert_array_equal(default, full)
    gap = slice(96, 96 + 64)
    assert np.abs(np.diff(full[:, gap], axis=1)).mean() > 2 * np.abs(np.diff(plain[:, gap], axis=1)).mean()


def test_down_joins_top_and_bottom_photos(server: ComfyServer) -> None:
    graph = blend_graph(direction="down", gap_width=40, save_mask=True)
    save(graph, "save left", ("left", 0))
    run = server.run(graph)
    panorama, top = run.picture("save"), run.picture("save left")
    assert panorama.shape == (64 + 40 + 64, 96, 3)
    np.testing.assert_array_equal(panorama[:64], top)
    expected = np.zeros_like(panorama)
    expected[64 : 64 + 40] = 255
    np.testing.assert_array_equal(run.picture("save mask"), expected)


def test_sequence_of_photos_of_different_sizes(server: ComfyServer) -> None:
    graph = sequence_graph(gap_width=30)
    save(graph, "save left", ("left", 0))
    save_mask(graph, "mask", ("blend", 1))
    run = server.run(graph)
    panorama, photo = run.picture("save"), run.picture("save left")
    assert panorama.shape == (64, 3 * 96 + 40 + 3 * 30, 3)
    for start in (0, 126, 252):
        np.testing.assert_array_equal(panorama[:, start : start + 96], photo)
        assert_is_generated(panorama[:, start + 96 : start + 126])
    assert columns_of_gaps(run.picture("mask")) == [96, 126, 222, 252, 348, 378]


def test_sequence_takes_a_list_as_it_takes_a_batch(server: ComfyServer) -> None:
    graph = sequence_graph(gap_width=20)
    graph["list"] = {"class_type": "RebatchImages", "inputs": {"images": ["left batch", 0], "batch_size": 1}}
    graph["of list"] = {
        "class_type": "WRBBlendSequence",
        "inputs": graph["blend"]["inputs"] | {"images": ["list", 0]},
    }
    save(graph, "save of list", ("of list", 0))
    run = server.run(graph)
    np.testing.assert_array_equal(run.picture("save of list"), run.picture("save"))


def test_sequence_with_a_width_for_each_gap_and_a_loop_that_shows_no_seam(server: ComfyServer) -> None:
    graph = sequence_graph(batch=2, gap_width=99, gap_widths="30, 0,45", loop=True)
    save_mask(graph, "mask", ("blend", 1))
    run = server.run(graph)
    panorama = run.picture("save").astype(float)
    assert panorama.shape == (64, 96 + 30 + 96 + 64 + 40 + 45, 3)
    assert columns_of_gaps(run.picture("mask")) == [96, 126, 222, 286, 326]
    steps = np.abs(np.roll(panorama, -1, axis=1) - panorama).mean(axis=(0, 2))
    assert steps[[95, 125, 221, 285, 325, -1]].mean() <= 1.25 * np.median(steps[:95])


def test_photos_are_back_after_upscaling_and_repainting(server: ComfyServer) -> None:
    graph = blend_graph(gap_width=50)
    save(graph, "save left", ("left", 0))
    save(graph, "save right", ("right", 0))
    graph["repainted"] = {"class_type": "ImageInvert", "inputs": {"image": ["blend", 0]}}
    graph["upscaled"] = {
        "class_type": "ImageScaleBy",
        "inputs": {"image": ["blend", 0], "upscale_method": "bilinear", "scale_by": 2.3},
    }
    for changed in ("repainted", "upscaled"):
        graph[f"restore {changed}"] = {
            "class_type": "WRBRestorePhotos",
            "inputs": {"panorama": [changed, 0], "blend": ["blend", 2], "feather": 0},
        }
        save(graph, f"save {changed}", (f"restore {changed}", 0))
        save_mask(graph, f"mask {changed}", (f"restore {changed}", 1))
    run = server.run(graph)
    left, right = run.picture("save left"), run.picture("save right")

    repainted = run.picture("save repainted")
    np.testing.assert_array_equal(repainted[:, :96], left)
    np.testing.assert_array_equal(repainted[:, -96:], right)
    assert columns_of_gaps(run.picture("mask repainted")) == [96, 146]

    upscaled = run.picture("save upscaled")
    edges = columns_of_gaps(run.picture("mask upscaled"))
    assert upscaled.shape == (147, 557, 3)
    assert edges == [221, 336]
    expected = resize(torch.from_numpy(left / 255).permute(2, 0, 1)[None].float(), 147, 221)[0].permute(1, 2, 0) * 255
    assert np.abs(upscaled[:, :221] - expected.numpy()).max() <= 2  # the nodes' pictures were not rounded to bytes
    steps = np.abs(np.diff(upscaled.astype(float), axis=1)).mean(axis=(0, 2))
    assert (steps[[220, 335]] <= 1.25 * np.median(steps[:220])).all()


def test_photos_are_back_in_a_sequence_with_other_gaps(server: ComfyServer) -> None:
    graph = sequence_graph(batch=2, direction="down", gap_width=30, loop=True)
    graph["adjust"] = {"class_type": "WRBAdjustGap", "inputs": {"blend": ["blend", 2], "gap_width": 36}}
    graph["repainted"] = {"class_type": "ImageInvert", "inputs": {"image": ["adjust", 0]}}
    graph["restore"] = {
        "class_type": "WRBRestorePhotos",
        "inputs": {"panorama": ["repainted", 0], "blend": ["adjust", 2], "feather": 0},
    }
    save(graph, "save restored", ("restore", 0))
    save(graph, "save left", ("left", 0))
    run = server.run(graph)
    photo, restored = run.picture("save left"), run.picture("save restored")
    assert restored.shape == (2 * 64 + round(96 / 50 * 80) + 3 * 36, 96, 3)
    np.testing.assert_array_equal(restored[:64], photo)
    np.testing.assert_array_equal(restored[100:164], photo)


def crop_graph(blend: tuple[str, int], **crop: Any) -> Graph:
    """Crops of a blend, their colours inverted, back into the panorama."""
    return {
        "crop": {
            "class_type": "WRBCropGap",
            "inputs": {"blend": list(blend), "context": 0.5, "megapixels": 1, "height": 64, "multiple": "8"}
            | {"grow": 0, "feather": 0, "max_width": 3}
            | crop,
        },
        "repainted": {"class_type": "ImageInvert", "inputs": {"image": ["crop", 0]}},
        "restore": {
            "class_type": "WRBRestorePhotos",
            "inputs": {"panorama": ["repainted", 0], "blend": ["crop", 2], "feather": 0, "detail": 1},
        },
    }


@pytest.mark.parametrize("direction", ["right", "down"])
def test_crops_of_all_gaps_come_back_in_one_panorama(server: ComfyServer, direction: str) -> None:
    """Three gaps, of which the last, that closes the loop, is wider than a crop may be."""
    graph = sequence_graph(batch=2, gap_widths="30, 40, 300", loop=True, direction=direction)
    graph |= crop_graph(("blend", 2), max_width=2)
    save(graph, "save crops", ("crop", 0))
    save_mask(graph, "masks", ("crop", 1))
    save(graph, "save restored", ("restore", 0))
    save(graph, "save left", ("left", 0))
    run = server.run(graph)
    assert len(run.outputs["save crops"]["images"]) == len(run.outputs["masks"]["images"]) > 3
    photo, blended, restored = (run.picture(name) for name in ("save left", "save", "save restored"))
    if direction == "down":
        photo, blended, restored = (image.swapaxes(0, 1) for image in (photo, blended, restored))
    across, along = photo.shape[:2]
    assert restored.shape == blended.shape
    np.testing.assert_array_equal(restored[:, :along], photo)
    np.testing.assert_array_equal(restored[:, along + 30 : 2 * along + 30], photo)
    for gap in (slice(along, along + 30), slice(2 * along + 30, 2 * along + 70), slice(-300, None)):
        assert np.abs(restored[:, gap].astype(float) - blended[:, gap]).mean() > 5


def test_several_blends_and_versions_of_their_crops_are_kept_apart(server: ComfyServer) -> None:
    graph = blend_graph(batch=2, gap_width=40)
    graph |= crop_graph(("blend", 2))
    graph["adjust"] = {"class_type": "WRBAdjustGap", "inputs": {"blend": ["crop", 2], "gap_width": 50}}
    graph["crop again"] = {"class_type": "WRBCropGap", "inputs": graph["crop"]["inputs"] | {"blend": ["adjust", 2]}}
    graph["whole"] = {
        "class_type": "WRBRestorePhotos",
        "inputs": {"panorama": ["adjust", 0], "blend": ["adjust", 2], "feather": 0},
    }
    graph["again"] = {
        "class_type": "WRBRestorePhotos",
        "inputs": {"panorama": ["crop again", 0], "blend": ["crop again", 2], "feather": 0},
    }
    for name in ("restore", "whole", "again"):
        save(graph, f"save {name}", (name, 0))
    run = server.run(graph)
    for name, gap_width in (("restore", 40), ("whole", 50), ("again", 50)):
        assert len(run.outputs[f"save {name}"]["images"]) == 2
        assert run.picture(f"save {name}").shape == (64, 2 * 96 + gap_width, 3)


@pytest.mark.parametrize(
    ("weights", "precision", "tolerance"),
    [("tiny.safetensors", "auto", 0), ("Gen", "fp32", 0), ("Gen", "fp16", 1), ("Gen", "bf16", 4)],
)
def test_same_weights_give_the_same_picture(
    server: ComfyServer, weights: str, precision: str, tolerance: float
) -> None:
    exact = server.run(blend_graph(gap_width=40)).picture("save").astype(float)
    picture = server.run(blend_graph(weights=weights, precision=precision, gap_width=40)).picture("save")
    assert np.abs(picture - exact).mean() <= tolerance


def test_progress_of_a_sequence_moves_and_cancel_stops_within_a_pass(server: ComfyServer) -> None:
    graph = sequence_graph(batch=16, loop=True)

    def progress(run: Run) -> list[float]:
        return [event["value"] for event in run.events_of("progress") if event["node"] == "blend"]

    values = progress(server.run(graph))
    assert values == sorted(values)
    assert len(set(values)) == 17 + 17

    def cancel_at_first_progress(event: Event) -> None:
        if event["type"] == "progress":
            server.post("/interrupt", {})

    wait_for_cancel(graph)
    cancelled = server.run(graph, on_event=cancel_at_first_progress)
    assert len(cancelled.events_of("execution_interrupted")) == 1
    assert len(set(progress(cancelled))) == 1
    assert cancelled.outputs == {}


def test_progress_moves_and_cancel_stops_within_a_pass(server: ComfyServer) -> None:
    graph = blend_graph(batch=32)

    def progress(events: list[dict[str, Any]]) -> list[float]:
        return [event["value"] for event in events if event["node"] == "blend"]

    values = progress(server.run(graph).events_of("progress"))
    assert values == sorted(values)
    assert len(set(values)) >= 8

    def cancel_at_first_progress(event: Event) -> None:
        if event["type"] == "progress":
            server.post("/interrupt", {})

    wait_for_cancel(graph)
    cancelled = server.run(graph, on_event=cancel_at_first_progress)
    assert len(cancelled.events_of("execution_interrupted")) == 1
    assert len(set(progress(cancelled.events_of("progress")))) == 1
    assert cancelled.outputs == {}
    assert server.run(blend_graph(gap_width=43)).error is None


@pytest.mark.slow
def test_memory_does_not_grow_over_twenty_runs(server: ComfyServer) -> None:
    graph = read_workflow("adjust_gap")

    def run_with_gap(width: int) -> None:
        graph["4"]["inputs"]["gap_width"] = width
        graph["6"]["inputs"]["gap_width"] = width + 200
        run = server.run(graph)
        assert run.error is None
        assert "4" not in [node for cached in run.events_of("execution_cached") for node in cached["nodes"]]

    for width in (400, 410, 420):
        run_with_gap(width)
    before = server.memory()
    for width in range(300, 400, 5):
        run_with_gap(width)
    assert server.memory() - before < 100e6
