import pytest
import torch

from wrb.detail.cross_dissolve import Contribution
from wrb.detail.high_frequencies import compose
from wrb.resampling import fade, reflect


def contributions_of(weight, farthest):
    """With offsets at random, at most so many tiles away, in pieces of two tiles' width."""
    rows, columns = weight.shape
    offset = torch.randint(-farthest, farthest + 1, (2, rows, columns // 2)).repeat_interleave(2, -1)
    return Contribution(offset[0], 1 - weight), Contribution(offset[1], weight)


def composed(low, residual, left_width, contributions):
    gap = torch.empty_like(low)
    widths = left_width, residual.shape[-1] - left_width
    compose(gap, lambda rows: (low[:, rows], residual[:, rows]), widths, contributions)
    return gap


def mixed(values, height, width, contribution, start):
    """What a photo adds to each pixel: the mixture of the four nearest tiles' sources, by the definition."""
    rows, columns = contribution.weight.shape
    tile_height, tile_width = height / rows, width / columns
    y, x = torch.arange(height)[:, None], torch.arange(width)
    down, across = (y + 0.5) / tile_height - 0.5, (x + 0.5) / tile_width - 0.5
    parts, shares, sources, weights = [], [], [], []
    for below in (0, 1):
        for after in (0, 1):
            i, j = (
                (down.floor().long() + below).clamp(0, rows - 1),
                (across.floor().long() + after).clamp(0, columns - 1),
            )
            i, j = i.expand(height, width), j.expand(height, width)
            column = reflect(x + start + (contribution.offset[i, j] * tile_width).round().long(), values.shape[-1])
            shares_of = [fade(part - part.floor()) for part in (down, across)]
            shares.append((1 - shares_of[0] if below else shares_of[0]) * (1 - shares_of[1] if after else shares_of[1]))
            parts.append(values[:, y, column])
            sources.append(column)
            weight = contribution.weight[i, j]
            weights.append(shares[-1] * weight / (weight.square() + (1 - weight).square()).sqrt())
    energy = sum(
        shares[one] * shares[other] * (sources[one] == sources[other]) for one in range(4) for other in range(4)
    )
    return sum(weights) * sum(part * share for part, share in zip(parts, shares, strict=True)) / energy.sqrt()


@pytest.mark.parametrize(("height", "width", "tiles"), [(40, 60, (8, 12)), (37, 61, (8, 12)), (16, 24, (16, 24))])
def test_each_pixel_has_the_mixture_of_the_nearest_cells(height, width, tiles):
    left, right = torch.randn(3, height, 50), torch.randn(3, height, 45)
    weight = (torch.linspace(-0.5, 1.5, tiles[1]) + 0.2 * torch.rand(tiles)).clamp(0, 1)
    contributions = contributions_of(weight, 9)
    low = torch.rand(3, height, width)
    gap = composed(low, torch.cat([left, right], dim=-1), 50, contributions)
    expected = (
        low + mixed(left, height, width, contributions[0], 50) + mixed(right, height, width, contributions[1], -width)
    )
    torch.testing.assert_close(gap, expected, atol=1e-5, rtol=0)


def test_mixtures_keep_the_energy():
    """However often the sources change, and wherever one photo passes into the other."""
    residual = torch.randn(3, 512, 1024)
    weight = torch.linspace(-0.2, 1.2, 64).clamp(0, 1).expand(64, 64)
    gap = composed(torch.zeros(3, 512, 512), residual, 512, contributions_of(weight, 30))
    energy = gap.square().mean(dim=(0, 1)).unflatten(0, (16, 32)).mean(1)
    torch.testing.assert_close(energy, torch.ones(16), atol=0.06, rtol=0)


def test_one_source_is_copied_as_it_is():
    """To the pixel, at any height; what lies beyond a photo's end is its mirror."""
    residual = torch.randn(3, 90, 200)
    left = torch.full((9, 10), 1.0)
    zeros = torch.zeros_like(left).long()
    contributions = Contribution(zeros - 3, left), Contribution(zeros, 1 - left)
    gap = composed(torch.zeros(3, 90, 100), residual, 100, contributions)
    photo = residual[..., :100]
    torch.testing.assert_close(gap, torch.cat([photo[..., 70:], photo[..., 30:].flip(-1)], dim=-1), atol=1e-6, rtol=0)
