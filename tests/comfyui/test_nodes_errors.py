"""The nodes in a real ComfyUI, through its API: what goes wrong, and what a user is told then."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tests.comfyui.api_graphs import blend_graph, save, sequence_graph
from tests.comfyui.server import ComfyServer, GraphRefusedError

pytestmark = pytest.mark.comfyui


@pytest.mark.parametrize(
    ("node", "name", "value", "told"),
    [
        ("blend", "gap_width", -1, "smaller than min"),
        ("blend", "gap_width", 10**6, "bigger than max"),
        ("blend", "gap_width", "wide", "convert"),
        ("blend", "feather", -1, "smaller than min"),
        ("blend", "detail", 1.5, "bigger than max"),
        ("blend", "photos", "forget", "keep exactly, feather in, redraw"),
        ("model", "model_name", "missing.pth", "built-in, Gen"),
        ("model", "precision", "int8", "auto, fp32, fp16, bf16"),
    ],
)
def test_bad_value_is_refused_before_the_graph_runs(
    server: ComfyServer, node: str, name: str, value: object, told: str
) -> None:
    graph = blend_graph()
    graph[node]["inputs"][name] = value
    with pytest.raises(GraphRefusedError) as refused:
        server.run(graph)
    error = refused.value.args[0]["node_errors"][node]["errors"][0]
    assert name in error["details"]
    assert told in error["message"] + error["details"]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("gap_widths", "512; 300", "'512; 300' is not a list of widths"),
        ("gap_widths", "512,,300", "such as: 512, 300, 0"),
        ("gap_widths", "-1", "is not a list of widths"),
        ("photos", "forget", "keep exactly, feather in, redraw"),
        ("direction", "up", "right, down"),
        ("gap_width", 10**6, "bigger than max"),
    ],
)
def test_bad_value_of_a_sequence_is_refused_before_the_graph_runs(
    server: ComfyServer, name: str, value: Any, told: str
) -> None:
    with pytest.raises(GraphRefusedError) as refused:
        server.run(sequence_graph(**{name: value}))
    errors = refused.value.args[0]["node_errors"]["blend"]["errors"]
    assert any(told in error["message"] + error["details"] for error in errors)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"gap_widths": "30, 30"}, "2 gap widths for 3 gaps; give one for all, or one for each"),
        ({"gap_widths": "30, 30, 3"}, "gap 3 is 3 px wide"),
        ({"batch": 1, "images_2": ["left", 0], "images": ["right", 0], "gap_width": 9999}, "between photos 80 px high"),
    ],
)
def test_sequence_that_cannot_work_fails_with_a_message_that_says_why(
    server: ComfyServer, inputs: dict[str, Any], message: str
) -> None:
    error = server.run(sequence_graph(**inputs)).error
    assert error
    assert message in error


def test_single_photo_is_no_sequence_unless_it_loops(server: ComfyServer) -> None:
    graph = sequence_graph(batch=1)
    del graph["blend"]["inputs"]["images_2"]
    error = server.run(graph).error
    assert error and "1 photos for a sequence; give at least 2" in error
    graph["blend"]["inputs"]["loop"] = True
    assert server.run(graph).picture("save").shape == (64, 96 + 64, 3)


def test_panorama_that_was_cropped_is_not_restored(server: ComfyServer) -> None:
    graph = blend_graph(gap_width=50)
    graph["cropped"] = {
        "class_type": "ImageCrop",
        "inputs": {"image": ["blend", 0], "width": 200, "height": 64, "x": 0, "y": 0},
    }
    graph["restore"] = {
        "class_type": "WRBRestorePhotos",
        "inputs": {"panorama": ["cropped", 0], "blend": ["blend", 2], "feather": 0},
    }
    save(graph, "save restored", ("restore", 0))
    error = server.run(graph).error
    assert error
    assert "the panorama is 200×64 px, which is not the blend's 242×64 px at any scale" in error


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"gap_width": 3}, r"\b3\b.*\b16\b"),
        ({"gap_width": 64 * 8 + 1}, r"\b513\b.*\b512\b"),
        ({"weights": "broken.pth"}, r"broken\.pth"),
    ],
)
def test_what_cannot_work_fails_with_a_message_that_says_why(
    server: ComfyServer, inputs: dict[str, Any], message: str
) -> None:
    error = server.run(blend_graph(**inputs)).error
    assert error
    assert re.search(message, error), error


def test_broken_weights_leave_the_others_working(server: ComfyServer) -> None:
    assert server.run(blend_graph(weights="broken.pth")).error
    assert server.run(blend_graph(gap_width=41)).error is None


def test_running_out_of_memory_once_is_made_good(server: ComfyServer) -> None:
    graph = blend_graph(batch=3, gap_width=42)
    expected = server.run(graph).picture("save")
    graph["fail"] = {"class_type": "TestOutOfMemoryModel", "inputs": {"model": ["model", 0], "failures": 1}}
    graph["blend"]["inputs"]["model"] = ["fail", 0]
    run = server.run(graph)
    assert run.error is None
    difference = run.picture("save").astype(int) - expected
    assert np.abs(difference).max() <= 1


def test_running_out_of_memory_for_good_says_what_to_do(server: ComfyServer) -> None:
    graph = blend_graph()
    graph["fail"] = {"class_type": "TestOutOfMemoryModel", "inputs": {"model": ["model", 0], "failures": 99}}
    graph["blend"]["inputs"]["model"] = ["fail", 0]
    error = server.run(graph).error
    assert error
    assert "smaller gap_width" in error


def test_sequence_running_out_of_memory_once_is_made_good(server: ComfyServer) -> None:
    graph = sequence_graph(gap_width=42)
    expected = server.run(graph).picture("save")
    graph["fail"] = {"class_type": "TestOutOfMemoryModel", "inputs": {"model": ["model", 0], "failures": 1}}
    graph["blend"]["inputs"]["model"] = ["fail", 0]
    difference = server.run(graph).picture("save").astype(int) - expected
    assert np.abs(difference).max() <= 1
