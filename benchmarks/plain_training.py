"""The two kinds of training step written as plainly as their description reads, without regard to time.

It shares nothing with the package but the names of the weights, and wastes what the authors' code is known to waste:
the generator's graph on the discriminator's batches, the discriminator's gradients on the generator's, a pass of the
encoder for each image, the content transfer's guesses where nothing looks at them, gradients of the texture network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.plain_generator import COLUMNS, PlainGenerator, PlainOutput, leaky

SIDE = 256
TEXTURE_LAYERS = (11, 20)
TEXTURE_POOLS = (4, 9, 18)
TEXTURE_WEIGHT, ADVERSARIAL_WEIGHT = 0.01, 0.002 * 0.9


class PlainTraining:
    """Computes what the training of both stages does, from the same state dicts.

    Args:
        generator: a state dict of `wrb.Generator`; copied, as are the others.
        discriminator: of `training.discriminator.Discriminator`.
        texture: of VGG19 in torchvision's layout.
        attention_levels: decoder levels at which the gap attends to the photos.
        learning_rate: of the generator; the discriminator's is a tenth.
    """

    def __init__(
        self,
        generator: Mapping[str, Tensor],
        discriminator: Mapping[str, Tensor],
        texture: Mapping[str, Tensor],
        attention_levels: Iterable[int] = (1,),
        learning_rate: float = 1e-3,
    ) -> None:
        self.generator_weights = _trainable(generator)
        self.discriminator_weights = _trainable(discriminator)
        self.texture_weights = _trainable(texture)
        self.generator = PlainGenerator(self.generator_weights, attention_levels)
        self.generator_optimiser = _adam(self.generator_weights, learning_rate)
        self.discriminator_optimiser = _adam(self.discriminator_weights, learning_rate / 10)

    def generator_step(self, sample: Mapping[str, Tensor]) -> None:
        self.generator_optimiser.zero_grad()
        losses = self.generator_losses(sample)
        sum(losses.values(), torch.zeros(())).backward()
        self.generator_optimiser.step()

    def discriminator_step(self, sample: Mapping[str, Tensor]) -> None:
        self.discriminator_optimiser.zero_grad()
        self.discriminator_loss(sample).backward()
        self.discriminator_optimiser.step()

    def generator_losses(self, sample: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weighted losses by name.

        Args:
            sample: RGB in 0..1, (n 3 256 768) each: the "panorama"s to rebuild and, in fine-tuning, as many whose
                "left" and "right" sides are joined, and as many "other" true ones for the discriminator.
        """
        left, right, true_gap = self.photos(sample)
        output = self.generator.generate(left, right)
        num_true = len(true_gap)
        left_out, gap_out, right_out = output.panorama.split(SIDE, dim=-1)

        pixel = len(left) * (F.mse_loss(left_out, left) + F.mse_loss(right_out, right))
        errors = F.mse_loss(gap_out[:num_true], true_gap, reduction="none")
        pixel = pixel + num_true * (self.mask() * errors).mean()

        true_features = self.generator.unit("feature_in", self.generator.encode(true_gap)[-1], leaky)
        feature = num_true * F.mse_loss(output.gap_features[:num_true], true_features.detach())

        generated_maps, true_maps = self.texture_maps(gap_out[:num_true]), self.texture_maps(true_gap)
        low, high = (self.id_mrf(*maps) for maps in zip(generated_maps, true_maps, strict=True))

        real, fake = self.judge(self.true_panoramas(sample)), self.judge(output.panorama)
        adversarial = len(fake) * ((fake - real.mean()) ** 2).mean()
        return {
            "pixel": pixel,
            "feature": feature,
            "consistency": self.consistency(output),
            "texture": TEXTURE_WEIGHT * (low + high + high),  # the second for style and for content
            "adversarial": ADVERSARIAL_WEIGHT * adversarial,
        }

    def discriminator_loss(self, sample: Mapping[str, Tensor]) -> Tensor:
        left, right, _ = self.photos(sample)
        output = self.generator.generate(left, right)
        real, fake = self.judge(self.true_panoramas(sample)), self.judge(output.panorama.detach())
        return len(fake) * (((real - fake.mean() - 1) ** 2).mean() + ((fake - real.mean() + 1) ** 2).mean())

    def photos(self, sample: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Left and right photos, first those to rebuild, and the true gaps of these."""
        left, gap, right = sample["panorama"].split(SIDE, dim=-1)
        if "left" in sample:
            left = torch.cat([left, sample["left"][..., :SIDE]])
            right = torch.cat([right, sample["right"][..., -SIDE:]])
        return left, right, gap

    def true_panoramas(self, sample: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([sample["panorama"], sample["other"]]) if "other" in sample else sample["panorama"]

    def mask(self) -> Tensor:
        """Weight of each of the gap's columns: sure near the photos, free in the centre."""
        falloff = torch.exp(-(torch.arange(SIDE) ** 2) / (2 * (SIDE / 4) ** 2))
        return falloff + falloff.flip(0)

    def consistency(self, output: PlainOutput) -> Tensor:
        thirds = zip(output.rightward.split(COLUMNS, dim=-1), output.leftward.split(COLUMNS, dim=-1), strict=True)
        return len(output.panorama) * torch.stack([F.mse_loss(one, other) for one, other in thirds]).sum()

    def texture_maps(self, images: Tensor) -> list[Tensor]:
        """The first ReLUs of VGG19's blocks 3 and 4."""
        features = (images + 1) / 2 - torch.tensor([0.485, 0.456, 0.406])[:, None, None]
        maps = []
        for layer in range(max(TEXTURE_LAYERS) + 1):
            name = f"features.{layer}"
            if f"{name}.weight" in self.texture_weights:
                weight, bias = self.texture_weights[f"{name}.weight"], self.texture_weights[f"{name}.bias"]
                features = F.conv2d(features, weight, bias, padding=1)
            else:
                features = F.max_pool2d(features, 2) if layer in TEXTURE_POOLS else F.relu(features)
            if layer in TEXTURE_LAYERS:
                maps.append(features)
        return maps

    def id_mrf(self, generated: Tensor, truth: Tensor) -> Tensor:
        return torch.stack([self.id_mrf_of_one(*sample) for sample in zip(generated, truth, strict=True)]).sum()

    def id_mrf_of_one(self, generated: Tensor, truth: Tensor) -> Tensor:
        """ID-MRF of one sample's feature maps, (c h w)."""
        centre = truth.mean(dim=0)
        generated, truth = (generated - centre).flatten(1), (truth - centre).flatten(1)
        cosine = (truth / truth.norm(dim=0)).T @ (generated / generated.norm(dim=0))  # (true place, generated place)
        distance = (1 - cosine) / 2
        relative = distance / (distance.min(dim=0, keepdim=True).values + 1e-5)
        similarity = torch.exp((1 - relative) / 0.5)
        similarity = similarity / similarity.sum(dim=0, keepdim=True)
        return -torch.log(similarity.max(dim=1).values.mean())

    def judge(self, panorama: Tensor) -> Tensor:
        """The discriminator: (b 3 256 768) to logits, (b 1)."""
        weights, features = self.discriminator_weights, panorama
        for number in range(1, 5):
            weight, bias = weights[f"conv{number}.0.weight"], weights[f"conv{number}.0.bias"]
            features = F.conv2d(features, weight, bias, stride=2, padding=1)
            features = leaky(F.instance_norm(features) if number > 1 else features)
        return F.linear(features.flatten(1), weights["output.0.weight"], weights["output.0.bias"])


def _trainable(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies that collect gradients."""
    return {
        name: nn.Parameter(tensor.detach().clone(memory_format=torch.contiguous_format))
        for name, tensor in weights.items()
    }


def _adam(weights: Mapping[str, Tensor], learning_rate: float) -> torch.optim.Adam:
    return torch.optim.Adam(weights.values(), lr=learning_rate, betas=(0.5, 0.9), weight_decay=2e-5)
