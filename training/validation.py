"""How good a generator is on photos it does not learn from."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from wrb import Generator

from .data import cut, meeting_edges
from .losses import pixel_loss, texture_loss


def cross_fade(left: Tensor, right: Tensor, width: int) -> Tensor:
    """The least that a gap must beat: every row fades from the left photo's edge to the right one's.

    Args:
        left: (b c h w), and `right` alike.
        width: of the gap in px.

    Returns:
        (b c h width).
    """
    position = (torch.arange(width, device=left.device) + 0.5) / width
    return torch.lerp(left[..., -1:], right[..., :1], position)


def psnr(images: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image, (b c h w) in 0..1, in dB: (b)."""
    return -10 * (images - truth).square().mean(dim=(1, 2, 3)).log10()


@torch.inference_mode()
def validate(
    generator: Generator, texture: nn.Module | None, panoramas: Iterable[Tensor], *, texture_weight: float
) -> dict[str, float]:
    """Self-reconstruction of whole panoramas, (b 3 256 768), their gaps as a blend shows them: means over all.

    Returns:
        `psnr` and `cross_fade_psnr` of the gap in dB, its `pixel` and `texture` losses, and their weighted sum
        `loss`, by which the best weights are chosen.
    """
    sums = dict.fromkeys(("psnr", "cross_fade_psnr", "pixel", "texture"), 0.0)
    count = 0
    for batch in panoramas:
        left, gap, right = cut(batch)
        panorama = meeting_edges(generator(left, right).float(), left, right).clamp(0, 1)
        generated = cut(panorama)[1]
        sums["psnr"] += psnr(generated, gap).sum().item()
        sums["cross_fade_psnr"] += psnr(cross_fade(left, right, gap.shape[-1]), gap).sum().item()
        sums["pixel"] += pixel_loss(panorama, left, gap, right).item()
        if texture is not None:
            sums["texture"] += texture_loss(texture(generated), texture(gap)).item()
        count += len(batch)
    means = {name: value / count for name, value in sums.items()}
    return {**means, "loss": means["pixel"] + texture_weight * means["texture"]}
