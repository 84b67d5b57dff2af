"""From a folder of photos to one's own weights in a real ComfyUI, by the commands that the README gives."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from tests.comfyui.server import ROOT, ComfyServer, Graph
from tests.comfyui.waiting import RUN_TIMEOUT
from wrb import blend, load_generator
from wrb.images import read_image

pytestmark = [pytest.mark.comfyui, pytest.mark.slow]

SAMPLES = ("wrb_sample_desert.jpg", "wrb_sample_lake.jpg", "wrb_sample_tea_gardens.jpg")

TINY = "--width 4 --discriminator-width 2 --batch-size 2 --epochs 2 --validation-share 0.4 --workers 1 --cpu".split()
LOCAL = "--texture-network efficientnet-lite0".split()


def run(module: str, *arguments: object) -> str:
    """Run one of the programs of training; what it has said."""
    command = [sys.executable, "-m", f"training.{module}", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=RUN_TIMEOUT)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def test_both_stages_evaluation_and_the_weights_in_comfyui(server: ComfyServer, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in SAMPLES:
        shutil.copy(ROOT / "samples" / name, photos)
        with Image.open(ROOT / "samples" / name) as image:
            ImageOps.mirror(image).save(photos / f"mirrored_{name}")

    run("pairs", "--photos", photos, "--out", tmp_path / "pairs.json", "--network", "efficientnet-lite0")
    first, second = tmp_path / "first", tmp_path / "second"
    run("self_reconstruction", "--photos", photos, "--out", first, *TINY, *LOCAL)
    fine_tuning = ["--photos", photos, "--out", second, "--start-from", first, "--pairs", tmp_path / "pairs.json"]
    fine_tuning += ["--discriminator-width", "2", "--batch-size", "4", "--epochs", "2", "--cpu"]
    run("fine_tuning", *fine_tuning, *LOCAL)
    for folder in (first, second):
        assert {"config.json", "best.safetensors", "last.safetensors", "results.png"} <= set(os.listdir(folder))

    networks = ["--feature-network", "efficientnet-lite0", "--distance-network", "efficientnet-lite0"]
    weights = ["--weights", second / "best.safetensors", "--held-back", second / "validation_photos.txt"]
    run("evaluate", "--photos", photos, *weights, *networks, "--num-pairs", "2", "--out", tmp_path / "figures")
    figures = json.loads((tmp_path / "figures" / "results.json").read_text())
    assert "best" in json.dumps(figures)

    shutil.copy(second / "best.safetensors", server.base / "models" / "wrb" / "own.safetensors")
    graph: Graph = {
        "model": {"class_type": "WRBLoadModel", "inputs": {"model_name": "own.safetensors", "precision": "fp32"}},
        "left": {"class_type": "LoadImage", "inputs": {"image": SAMPLES[0]}},
        "right": {"class_type": "LoadImage", "inputs": {"image": SAMPLES[1]}},
        "blend": {
            "class_type": "WRBBlend",
            "inputs": {"model": ["model", 0], "left": ["left", 0], "right": ["right", 0]}
            | {"gap_width": 0, "photos": "keep exactly", "feather": 16},
        },
        "save": {"class_type": "SaveImage", "inputs": {"images": ["blend", 0], "filename_prefix": "own"}},
    }
    picture = server.run(graph).picture("save")
    left, right = (read_image(ROOT / "samples" / name) for name in SAMPLES[:2])
    with torch.inference_mode():
        expected = blend(load_generator(second / "best.safetensors"), left, right).panorama[0]
    difference = np.abs(picture.astype(float) - 255 * expected.permute(1, 2, 0).numpy())
    assert difference.max() <= 3
