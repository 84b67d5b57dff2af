"""The generator written as plainly as its description reads, without regard to time: the oracle of the fast one.

It shares nothing with the package but the names of the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Callable[[Tensor], Tensor]

COLUMNS = 4
"""Of each photo's bottleneck."""


def leaky(features: Tensor) -> Tensor:
    return F.leaky_relu(features, 0.2)


class PlainOutput(NamedTuple):
    """A panorama and what the training losses look at."""

    panorama: Tensor
    """(b 3 256 512+64·gap_columns)."""

    gap_features: Tensor
    """(b c 4 gap_columns)."""

    rightward: Tensor
    """The content transfer's sequences, each from left to right, (b c 4 8+gap_columns)."""

    leftward: Tensor


class PlainGenerator:
    """Computes what `wrb.Generator` does from the same state dict.

    Args:
        weights: a state dict of `wrb.Generator`, of any width.
        attention_levels: decoder levels at which the gap attends to the photos.
    """

    def __init__(self, weights: Mapping[str, Tensor], attention_levels: Iterable[int] = (1,)) -> None:
        self.weights = weights
        self.attention_levels = frozenset(attention_levels)
        self.lstm_encoder, self.lstm_decoder = self._lstm("BCT.LSTM_encoder."), self._lstm("BCT.LSTM_decoder.")

    def __call__(self, left: Tensor, right: Tensor, gap_columns: int = 4) -> Tensor:
        """Two photos, (b 3 256 256) each, to their panorama, (b 3 256 512+64·gap_columns)."""
        return self.generate(left, right, gap_columns).panorama

    def generate(self, left: Tensor, right: Tensor, gap_columns: int = 4) -> PlainOutput:
        *left_skips, left_bottleneck = self.encode(left)
        *right_skips, right_bottleneck = self.encode(right)
        left_columns = self.unit("feature_in", left_bottleneck, leaky)
        right_columns = self.unit("feature_in", right_bottleneck, leaky)
        rightward = self.predict(left_columns, right_columns, gap_columns)
        leftward = self.predict(right_columns.flip(-1), left_columns.flip(-1), gap_columns).flip(-1)
        gaps = [sequence[..., COLUMNS : COLUMNS + gap_columns] for sequence in (rightward, leftward)]
        gap_features = self.unit("BCT.output", torch.cat(gaps, dim=1), leaky)
        gap = self.unit("feature_out", gap_features, leaky)
        features = torch.cat([left_bottleneck, gap, right_bottleneck], dim=-1)
        return PlainOutput(self.decode(features, left_skips, right_skips), gap_features, rightward, leftward)

    def encode(self, photo: Tensor) -> list[Tensor]:
        """Skips 0 to 4, then the bottleneck."""
        maps = [self.unit("encoder_stage1_conv1", photo, leaky, stride=2, padding=1)]
        maps.append(self.unit("encoder_stage1_conv2", maps[-1], leaky, stride=2, padding=1))
        for stage, residual_blocks in ((2, 2), (3, 3), (4, 3), (5, 4)):
            features = self.bottleneck(f"encoder_stage{stage}.0", maps[-1], leaky)
            for block in range(1, residual_blocks + 1):
                features = self.bottleneck(f"encoder_stage{stage}.{block}", features, leaky)
            maps.append(features)
        return maps

    def predict(self, own: Tensor, other: Tensor, gap_columns: int) -> Tensor:
        """One direction of the content transfer: go on from `own`, knowing that `other` comes after the gap.

        Returns `own`, the gap and a guess of `other`.
        """
        state = None
        for column in self._columns(other):
            _, state = self.lstm_encoder(column, state)
        for column in self._columns(own):
            output, state = self.lstm_decoder(column, state)
        predicted = [output]
        while len(predicted) < gap_columns + COLUMNS:
            output, state = self.lstm_decoder(output, state)
            predicted.append(output)
        further = [output[0].unflatten(1, own.shape[1:3]) for output in predicted]
        return torch.cat([own, torch.stack(further, dim=-1)], dim=-1)

    def decode(self, features: Tensor, left_skips: list[Tensor], right_skips: list[Tensor]) -> Tensor:
        features = self.global_residual("GRB5", features, dilation=1)
        features = self.decoder_stage(5, features, residual_blocks=2)
        for level, residual_blocks in ((4, 3), (3, 3), (2, 4)):
            features = self.join_skips(level, features, left_skips[level], right_skips[level])
            features = self.global_residual(f"GRB{level}", features, dilation=2 if level == 4 else 4)
            features = self.decoder_stage(level, features, residual_blocks)
        features = self.join_skips(1, features, left_skips[1], right_skips[1])
        features = self.up("decoder_stage1", features, F.relu)
        features = self.join_skips(0, features, left_skips[0], right_skips[0])
        return self.up("decoder_stage0", features, torch.sigmoid)

    def decoder_stage(self, level: int, features: Tensor, residual_blocks: int) -> Tensor:
        for block in range(residual_blocks):
            features = self.bottleneck(f"decoder_stage{level}.{block}", features, F.relu)
        return self.up(f"decoder_stage{level}.{residual_blocks}", features, F.relu)

    def join_skips(self, level: int, features: Tensor, left_skip: Tensor, right_skip: Tensor) -> Tensor:
        side = left_skip.shape[-1]
        left, gap, right = features[..., :side], features[..., side:-side], features[..., -side:]
        if level in self.attention_levels:
            samples = zip(gap, left, right, left_skip, right_skip, strict=True)
            attended = torch.stack([self.attend(*sample) for sample in samples])
            gap = self.skip(level, self.horizontal(f"SHC{level}_mid", gap, attended, shortcut=gap))
        left = self.skip(level, self.horizontal(f"SHC{level}", left, left_skip, shortcut=left_skip))
        right = self.skip(level, self.horizontal(f"SHC{level}", right, right_skip, shortcut=right_skip))
        return torch.cat([left, gap, right], dim=-1)

    def attend(self, gap: Tensor, left: Tensor, right: Tensor, left_skip: Tensor, right_skip: Tensor) -> Tensor:
        """Contextual attention of one sample, (c h w) each."""
        photos, skips = torch.cat([left, right], dim=-1), torch.cat([left_skip, right_skip], dim=-1)
        height, width = gap.shape[1] // 2, gap.shape[2] // 2
        gap_patches = F.unfold(gap[None, :, ::2, ::2], 3, padding=1)[0]
        photo_patches = F.unfold(photos[None, :, ::2, ::2], 3, padding=1)[0]
        photo_patches = photo_patches / (photo_patches**2 + 1e-4).sum(0).sqrt()
        scores = photo_patches.T @ gap_patches

        diagonal = torch.eye(3).to(scores)[None, None]
        scores = F.conv2d(scores[None, None], diagonal, padding=1)
        scores = scores.reshape(height, -1, height, width).permute(1, 0, 3, 2).reshape(len(scores[0, 0]), -1)
        scores = F.conv2d(scores[None, None], diagonal, padding=1)
        scores = scores.reshape(-1, height, width, height).permute(1, 0, 3, 2).reshape(1, -1, height, width)

        patches = F.unfold(skips[None], 4, padding=1, stride=2)[0].T.reshape(-1, len(skips), 4, 4)
        return F.conv_transpose2d((10 * scores).softmax(dim=1), patches, stride=2, padding=1)[0] / 4

    def skip(self, level: int, features: Tensor) -> Tensor:
        return F.relu(self.norm(f"skip{level}.0", features))

    def horizontal(self, name: str, features: Tensor, other: Tensor, *, shortcut: Tensor) -> Tensor:
        features = self.unit(f"{name}.conv1", torch.cat([features, other], dim=1), F.relu)
        features = self.unit(f"{name}.conv2", features, F.relu, padding=1)
        return self.unit(f"{name}.conv3", features) + shortcut

    def global_residual(self, name: str, features: Tensor, dilation: int) -> Tensor:
        tall, wide = (dilation, 0), (0, 3 * dilation)
        total = features
        for path, paddings in (("path1", (tall, wide)), ("path2", (wide, tall))):
            inner = self.unit(f"{name}.{path}.0", features, F.relu, padding=paddings[0], dilation=dilation)
            total = total + self.unit(f"{name}.{path}.1", inner, padding=paddings[1], dilation=dilation)
        return F.relu(total)

    def bottleneck(self, name: str, features: Tensor, activation: Activation) -> Tensor:
        is_down = f"{name}.shortcut_path.0.weight" in self.weights
        stride = 2 if is_down else 1
        shortcut = self.unit(f"{name}.shortcut_path", features, stride=2) if is_down else features
        features = self.unit(f"{name}.conv1", features, activation)
        features = self.unit(f"{name}.conv2", features, activation, stride=stride, padding=1)
        return activation(self.unit(f"{name}.conv3", features) + shortcut)

    def up(self, name: str, features: Tensor, activation: Activation) -> Tensor:
        features = F.conv_transpose2d(features, self.weights[f"{name}.0.weight"], stride=2, padding=1)
        return activation(self.norm(f"{name}.1", features))

    def unit(
        self,
        name: str,
        features: Tensor,
        activation: Activation | None = None,
        *,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int = 1,
    ) -> Tensor:
        weight, bias = self.weights[f"{name}.0.weight"], self.weights.get(f"{name}.0.bias")
        features = F.conv2d(features, weight, bias, stride=stride, padding=padding, dilation=dilation)
        features = self.norm(f"{name}.1", features)
        return activation(features) if activation else features

    def norm(self, name: str, features: Tensor) -> Tensor:
        """An instance norm where the weights have one of this name."""
        if f"{name}.weight" not in self.weights:
            return features
        return F.instance_norm(features, weight=self.weights[f"{name}.weight"], bias=self.weights[f"{name}.bias"])

    def _lstm(self, prefix: str) -> nn.LSTM:
        weights = {name.removeprefix(prefix): self.weights[name] for name in self.weights if name.startswith(prefix)}
        size = weights["weight_hh_l0"].shape[1]
        with torch.device("meta"):
            lstm = nn.LSTM(size, size, num_layers=2)
        lstm.load_state_dict(weights, assign=True)
        return lstm

    @staticmethod
    def _columns(features: Tensor) -> list[Tensor]:
        """Each of the columns as one step of a sequence, (1 b c·h)."""
        return [column.flatten(1)[None] for column in features.unbind(dim=-1)]
