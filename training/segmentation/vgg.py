"""Features of VGG16 (Simonyan and Zisserman, ICLR 2015; weights of Oxford, CC BY 4.0)."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..perceptual import downloading

NUM_FEATURES = 256 + 512 + 512

STRIDE = 8

BLOCKS = (2, 2, 3, 3, 3)
"""Convolutions of each."""

MEAN = (123.68, 116.779, 103.939)
"""Of red, green and blue in 0..255, which the weights want taken off."""


class VGG16Features(nn.Module):
    """The last ReLUs of VGG16's blocks 3, 4 and 5, brought to the size of block 4.

    Args:
        weights: a local safetensors file in Caffe's layout, `conv1_1.weight` to `conv5_3.bias`, for BGR; None lets
            torchvision download the same weights.

    Raises:
        ValueError: if the file is of another network.
    """

    def __init__(self, weights: Path | None = None) -> None:
        super().__init__()
        if weights is None:
            with downloading("VGG16"):
                network = torchvision.models.vgg16(weights=torchvision.models.VGG16_Weights.IMAGENET1K_FEATURES)
        else:
            network = torchvision.models.vgg16(weights=None, init_weights=False)
            _load_caffe(network.features, weights)
        self.features = network.features
        for layer in self.features:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False
        self.eval().requires_grad_(False)

    def forward(self, photos: Tensor) -> Tensor:
        """(b 3 h w), RGB in 0..1 with sides that are multiples of 16, to (b 1280 h/8 w/8)."""
        features = photos * 255 - photos.new_tensor(MEAN)[:, None, None]
        blocks = []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                blocks.append(features)
            features = layer(features)
        _, _, third, fourth, fifth = blocks
        fifth = F.interpolate(fifth, fourth.shape[-2:], mode="bilinear")
        return torch.cat([F.avg_pool2d(third, 2), fourth, fifth], dim=1)


def _load_caffe(features: nn.Sequential, path: Path) -> None:
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} cannot be read as safetensors: {error}") from error
    convolutions = [layer for layer in features if isinstance(layer, nn.Conv2d)]
    names = [f"conv{block}_{number + 1}" for block, count in enumerate(BLOCKS, start=1) for number in range(count)]
    for name, layer in zip(names, convolutions, strict=True):
        for part in ("weight", "bias"):
            wanted: Tensor = getattr(layer, part)
            found = state.get(f"{name}.{part}")
            if found is None or found.shape != wanted.shape:
                raise ValueError(
                    f"{path} is no VGG16 in Caffe's layout: no {name}.{part} of shape {tuple(wanted.shape)}"
                )
            if name == "conv1_1" and part == "weight":
                found = found.flip(1)  # from BGR to RGB
            wanted.data.copy_(found)
