"""Graphs as ComfyUI's API takes them, for the tests of the nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.comfyui.server import Graph


def blend_graph(
    *, weights: str = "tiny.safetensors", precision: str = "fp32", batch: int = 1, save_mask: bool = False, **blend: Any
) -> Graph:
    """Two sample photos, scaled to 64 px or what `height` says, through the nodes to a picture at node "save"."""
    height = blend.pop("height", 64)
    graph: Graph = {
        "model": {"class_type": "WRBLoadModel", "inputs": {"model_name": weights, "precision": precision}},
        "blend": {
            "class_type": "WRBBlend",
            "inputs": {"model": ["model", 0], "left": ["left batch", 0], "right": ["right", 0]}
            | {"gap_width": 0, "photos": "keep exactly", "feather": 16}
            | blend,
        },
        "save": {"class_type": "SaveImage", "inputs": {"images": ["blend", 0], "filename_prefix": "test"}},
        "left batch": {"class_type": "RepeatImageBatch", "inputs": {"image": ["left", 0], "amount": batch}},
    }
    for side, sample in (("left", "wrb_sample_desert.jpg"), ("right", "wrb_sample_lake.jpg")):
        graph[f"load {side}"] = {"class_type": "LoadImage", "inputs": {"image": sample}}
        graph[side] = {
            "class_type": "ImageScale",
            "inputs": {"image": [f"load {side}", 0], "upscale_method": "area", "crop": "disabled"}
            | {"width": height * 3 // 2, "height": height},
        }
    if save_mask:
        graph["mask"] = {"class_type": "MaskToImage", "inputs": {"mask": ["blend", 1]}}
        graph["save mask"] = {"class_type": "SaveImage", "inputs": {"images": ["mask", 0], "filename_prefix": "mask"}}
    return graph


def sequence_graph(*, batch: int = 3, **sequence: Any) -> Graph:
    """A sample photo of 96×64 px `batch` times, then another of 50×80 px, through the sequence node to a picture."""
    graph = blend_graph(batch=batch)
    graph["right"]["inputs"] |= {"width": 50, "height": 80}
    graph["blend"] = {
        "class_type": "WRBBlendSequence",
        "inputs": {"model": ["model", 0], "images": ["left batch", 0], "images_2": ["right", 0]}
        | {"gap_width": 0, "gap_widths": "", "loop": False, "photos": "keep exactly", "feather": 16}
        | sequence,
    }
    return graph


def save(graph: Graph, name: str, image: tuple[str, int]) -> None:
    """Save an output under a node's name."""
    graph[name] = {"class_type": "SaveImage", "inputs": {"images": list(image), "filename_prefix": "test"}}


def save_mask(graph: Graph, name: str, mask: tuple[str, int]) -> None:
    graph[f"{name} as image"] = {"class_type": "MaskToImage", "inputs": {"mask": list(mask)}}
    save(graph, name, (f"{name} as image", 0))


def wait_for_cancel(graph: Graph) -> None:
    """Have the network's second pass of that graph take until the user cancels."""
    graph["wait"] = {"class_type": "TestModelWaitingForCancel", "inputs": {"model": ["model", 0]}}
    graph["blend"]["inputs"]["model"] = ["wait", 0]


def columns_of_gaps(mask: np.ndarray) -> list[int]:
    """Where gaps begin and end, from a mask's picture."""
    return [int(column) + 1 for column in np.flatnonzero(np.diff(mask[0, :, 0].astype(int)))]
