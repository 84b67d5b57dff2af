"""The nodes in a real ComfyUI, through its API: what goes wrong, and what a user is told then."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from tests.comfyui.api_graphs import blend_graph, save, sequence_graph
from tests.comfyui.server import ComfyServer, Graph, GraphRefusedError

pytestmark = pytest.mark.comfyui


def errors_at(server: ComfyServer, graph: Graph, node: str) -> list[dict[str, Any]]:
    """What ComfyUI says of a node when it refuses the graph."""
    with pytest.raises(GraphRefusedError) as refused:
        server.run(graph)
    return refused.value.args[0]["node_errors"][node]["errors"]


@pytest.mark.parametrize(
    ("node", "name", "value", "told"),
    [
        ("blend", "gap_width", -1, "smaller than min"),
        ("blend", "gap_width", 10**6, "bigger than max"),
        ("blend", "gap_width", "wide", "convert"),
        ("blend", "feather", -1, "smaller than min"),
        ("blend", "detail", 1.5, "bigger than max"),
        ("blend", "layers", -0.5, "smaller than min"),
        ("blend", "photos", "forget", "'keep exactly', 'feather in', 'redraw'"),
        ("blend", "photos", None, "'keep exactly', 'feather in', 'redraw'"),
        ("blend", "direction", "up", "'right', 'down'"),
        ("model", "model_name", "missing.pth", "'built-in', 'Gen'"),
        ("model", "precision", "int8", "'auto', 'fp32', 'fp16', 'bf16'"),
        ("sequence", "gap_widths", "512; 300", "'512; 300' is not a list of widths"),
        ("sequence", "gap_widths", "512,,300", "such as: 512, 300, 0"),
        ("sequence", "gap_widths", "-1", "is not a list of widths"),
        ("sequence", "photos", "forget", "'keep exactly', 'feather in', 'redraw'"),
        ("sequence", "direction", "up", "'right', 'down'"),
        ("sequence", "gap_width", 10**6, "bigger than max"),
    ],
)
def test_bad_value_is_told_once_and_where_it_is_before_the_graph_runs(
    server: ComfyServer, node: str, name: str, value: object, told: str
) -> None:
    graph = sequence_graph() if node == "sequence" else blend_graph()
    node = "blend" if node == "sequence" else node
    graph[node]["inputs"][name] = value
    (error,) = errors_at(server, graph, node)
    assert error["extra_info"]["input_name"] == name
    assert told in error["message"] + error["details"]


@pytest.mark.parametrize("graph", [blend_graph(), sequence_graph()], ids=["blend", "sequence"])
def test_every_required_value_that_an_api_graph_lacks_is_named(server: ComfyServer, graph: Graph) -> None:
    graph = deepcopy(graph)
    lacking = {"gap_width", "gap_widths", "loop", "photos", "feather"} & graph["blend"]["inputs"].keys()
    for name in lacking:
        del graph["blend"]["inputs"][name]
    errors = errors_at(server, graph, "blend")
    assert {error["type"] for error in errors} == {"required_input_missing"}
    assert sorted(error["details"] for error in errors) == sorted(lacking)


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


def fail(graph: Graph, failures: int, *, on_cpu: bool) -> None:
    """Have that graph's network run out of memory, as a GPU does or as the CPU does, so many times."""
    inputs = {"model": ["model", 0], "failures": failures, "on_cpu": on_cpu}
    graph["fail"] = {"class_type": "TestOutOfMemoryModel", "inputs": inputs}
    graph["blend"]["inputs"]["model"] = ["fail", 0]


@pytest.mark.parametrize("on_cpu", [False, True])
@pytest.mark.parametrize(
    "graph", [blend_graph(batch=3, gap_width=42), sequence_graph(gap_width=42)], ids=["blend", "sequence"]
)
def test_running_out_of_memory_once_is_made_good(server: ComfyServer, graph: Graph, on_cpu: bool) -> None:
    graph = deepcopy(graph)
    expected = server.run(graph).picture("save")
    fail(graph, 1, on_cpu=on_cpu)
    start = len(server.log.read_text())
    difference = server.run(graph).picture("save").astype(int) - expected
    assert np.abs(difference).max() <= 1
    assert "ran out of memory; freeing it and trying again, one gap at a time." in server.log.read_text()[start:]


@pytest.mark.parametrize("on_cpu", [False, True])
def test_running_out_of_memory_for_good_says_what_to_do(server: ComfyServer, on_cpu: bool) -> None:
    graph = blend_graph()
    fail(graph, 99, on_cpu=on_cpu)
    error = server.run(graph).error
    assert error
    assert "smaller gap_width" in error
