"""The example graphs of `workflows/`, as the page saves them and as the API takes them."""

from __future__ import annotations

import json
from typing import Any

from tests.comfyui.server import ROOT, Graph

CHECKPOINT = "tiny_inpainting.ckpt"
"""What the fixture `example_files` makes; as little as it takes to run the graphs that repaint on a CPU."""

PHOTO_SIZE = 96, 64
"""Width and height of the small photos that the fixture `example_files` puts into ComfyUI's input folder."""

SMALL_PHOTOS = {"2": {"image": "small/left.png"}, "3": {"image": "small/right.png"}}

REPAINTING: dict[str, dict[str, Any]] = {"7": {"height": 64}, "8": {"ckpt_name": CHECKPOINT}, "12": {"steps": 2}}
"""The crops at the small photos' own height."""

QUICK: dict[str, dict[str, dict[str, Any]]] = {
    "upscale_and_restore": SMALL_PHOTOS,
    "repaint_gap": {**SMALL_PHOTOS, **REPAINTING},
    "repaint_loop": {**SMALL_PHOTOS, "4": {"image": "small/left.png"}, **REPAINTING},
}
"""By graph and node id, values of widgets with which the graphs that need further models run in seconds on a CPU."""


def read_saved(name: str) -> dict[str, Any]:
    """An example graph in the page's format."""
    return json.loads((ROOT / "workflows" / f"{name}.json").read_text())


def read_workflow(name: str) -> Graph:
    """An example graph, from the page's format to the API's, with the values of `QUICK`."""
    workflow = read_saved(name)
    links = {link_id: [str(source), slot] for link_id, source, slot, *_ in workflow["links"]}
    graph: Graph = {}
    for node in workflow["nodes"]:
        if node["type"] == "MarkdownNote":
            continue
        widgets = [socket["name"] for socket in node["inputs"] if "widget" in socket]
        values = node["widgets_values"]
        if node["type"] == "KSampler":
            values = [values[0], *values[2:]]  # between them is what the page does to the seed after a run
        inputs: dict[str, Any] = dict(zip(widgets, values, strict=True))
        inputs |= {socket["name"]: links[socket["link"]] for socket in node["inputs"] if socket["link"]}
        graph[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    for node_id, changed in QUICK.get(name, {}).items():
        assert changed.keys() <= graph[node_id]["inputs"].keys()
        graph[node_id]["inputs"] |= changed
    return graph
