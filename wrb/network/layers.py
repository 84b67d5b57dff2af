"""Building blocks of the generator (paper section 3.2; names of parameters as in the published weights)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def leaky_relu() -> nn.Module:
    """The encoder's activation."""
    return nn.LeakyReLU(0.2, inplace=True)


def relu() -> nn.Module:
    """The decoder's activation."""
    return nn.ReLU(inplace=True)


def conv_unit(
    conv: nn.Conv2d | nn.ConvTranspose2d, *, norm: bool = False, activation: nn.Module | None = None
) -> nn.Sequential:
    """A convolution, then an affine instance norm where `norm`, then `activation` where given."""
    unit: list[nn.Module] = [conv]
    if norm:
        unit.append(nn.InstanceNorm2d(conv.out_channels, affine=True))
    if activation is not None:
        unit.append(activation)
    return nn.Sequential(*unit)


def upsample(channels: int, out_channels: int, *, norm: bool) -> nn.Sequential:
    """Transposed convolution that doubles height and width: (b c h w) to (b out_channels 2h 2w)."""
    return conv_unit(Doubling(channels, out_channels), norm=norm, activation=relu())


class Doubling(nn.ConvTranspose2d):
    """A transposed convolution that doubles height and width."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(channels, out_channels, 4, stride=2, padding=1, bias=False)

    def forward(self, features: Tensor, output_size: list[int] | None = None) -> Tensor:
        height, width = features.shape[-2:]
        if torch.is_grad_enabled() or features.device.type != "cpu" or height * width > self.in_channels:
            return super().forward(features, output_size)
        # where the weights are more than the map, they are what takes the time: torch rearranges them, this does not
        parts = self.weight.flatten(1).mT @ features.flatten(2)
        return F.fold(parts, (2 * height, 2 * width), 4, padding=1, stride=2)


class ResidualBottleneck(nn.Module):
    """1×1, 3×3, 1×1 convolutions around an identity; with `out_channels`, a strided projection instead.

    Args:
        channels: channels that come in.
        middle: channels of the 3×3 convolution.
        out_channels: if given, the block halves height and width and changes to this many channels.
        norm: whether every convolution is followed by an instance norm.
        activation: makes the activation.
    """

    def __init__(
        self,
        channels: int,
        middle: int,
        out_channels: int | None = None,
        *,
        norm: bool,
        activation: Callable[[], nn.Module],
    ) -> None:
        super().__init__()
        self.stride = 1 if out_channels is None else 2
        self.shortcut_path: nn.Module = nn.Identity()
        if out_channels is not None:
            self.shortcut_path = conv_unit(nn.Conv2d(channels, out_channels, 1, bias=False), norm=norm)
        out_channels = out_channels or channels
        self.conv1 = conv_unit(nn.Conv2d(channels, middle, 1, bias=False), norm=norm, activation=activation())
        conv2 = nn.Conv2d(middle, middle, 3, stride=self.stride, padding=1, bias=False)
        self.conv2 = conv_unit(conv2, norm=norm, activation=activation())
        self.conv3 = conv_unit(nn.Conv2d(middle, out_channels, 1, bias=False), norm=norm)
        self.activation = activation()

    def forward(self, features: Tensor) -> Tensor:
        residual = self.conv3(self.conv2(self.conv1(features)))
        # slicing does what a stride in the 1×1 projection would; oneDNN's backward of that crashes with few channels
        return self.activation(residual + self.shortcut_path(features[..., :: self.stride, :: self.stride]))


class SkipHorizontalConnection(nn.Module):
    """SHC: merges two maps of `channels` channels and adds the result to one of them."""

    def __init__(self, channels: int, *, norm: bool) -> None:
        super().__init__()
        middle = channels // 2
        self.conv1 = conv_unit(nn.Conv2d(2 * channels, middle, 1), norm=norm, activation=relu())
        self.conv2 = conv_unit(nn.Conv2d(middle, middle, 3, padding=1), norm=norm, activation=relu())
        self.conv3 = conv_unit(nn.Conv2d(middle, channels, 1), norm=norm)

    def forward(self, pair: Tensor, shortcut: Tensor) -> Tensor:
        """(b 2c h w) and (b c h w) to (b c h w)."""
        return shortcut + self.conv3(self.conv2(self.conv1(pair)))


class GlobalResidualBlock(nn.Module):
    """GRB: wide, dilated receptive field along rows, so that one photo's content reaches the other."""

    def __init__(self, channels: int, *, dilation: int, norm: bool) -> None:
        super().__init__()

        def tall(activation: nn.Module | None) -> nn.Sequential:
            conv = nn.Conv2d(channels, channels, (3, 1), padding=(dilation, 0), dilation=dilation)
            return conv_unit(conv, norm=norm, activation=activation)

        def wide(activation: nn.Module | None) -> nn.Sequential:
            conv = nn.Conv2d(channels, channels, (1, 7), padding=(0, 3 * dilation), dilation=dilation)
            return conv_unit(conv, norm=norm, activation=activation)

        self.path1 = nn.Sequential(tall(relu()), wide(None))
        self.path2 = nn.Sequential(wide(relu()), tall(None))
        self.activation = relu()

    def forward(self, features: Tensor) -> Tensor:
        return self.activation(features + self.path1(features) + self.path2(features))
