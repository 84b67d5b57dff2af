from __future__ import annotations

import pytest
import torch

from training.evaluation.methods import make_methods
from wrb import blend, load_generator, save_generator


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
    drawing = blend(load_generator(tmp_path / "a.safetensors"), left, right, 128, detail=0).panorama
    assert torch.equal(methods["a"](left, right, 128, detail=0), drawing)
    assert not torch.equal(drawing, methods["a"](left, right, 128))
    assert torch.equal(methods["cross-fade"](left, right, 128, detail=0), methods["cross-fade"](left, right, 128))
    save_generator(tiny_generator, tmp_path / "a.other")
    assert list(make_methods((tmp_path / "a.safetensors", tmp_path / "a.other"), "cpu"))[:2] == [
        "a.safetensors",
        "a.other",
    ]
    with pytest.raises(ValueError, match="name each file once"):
        make_methods((tmp_path / "a.safetensors",) * 2, "cpu")
