import pytest
import torch

from wrb.poisson import CHUNK_COLUMNS, meet_edges
from wrb.resampling import resize

ANISOTROPY = 5
"""Of the membrane: how many times farther it reaches along the gap than up and down."""


def stretched_laplacian(image):
    """Of the interior columns, with free top and bottom."""
    padded = torch.cat([image[..., :1, :], image, image[..., -1:, :]], dim=-2)[..., 1:-1]
    down = padded[..., 2:, :] + padded[..., :-2, :] - 2 * image[..., 1:-1]
    across = image[..., 2:] + image[..., :-2] - 2 * image[..., 1:-1]
    return down + ANISOTROPY**2 * across


def test_the_gap_keeps_its_gradients_between_edges_it_now_meets():
    """The correction is the solution of Laplace's equation on the pixel grid, with the edges' lacks as its ends."""
    gap, left, right = (torch.rand(2, 3, 40, width, dtype=torch.float64) for width in (30, 1, 1))
    correction = meet_edges(gap, left, right) - gap
    with_ends = torch.cat([left - gap[..., :1], correction, right - gap[..., -1:]], dim=-1)
    torch.testing.assert_close(stretched_laplacian(with_ends), torch.zeros_like(correction), atol=1e-9, rtol=0)


def test_equal_edges_change_nothing():
    gap = torch.rand(1, 3, 16, 20)
    torch.testing.assert_close(meet_edges(gap, gap[..., :1], gap[..., -1:]), gap, atol=1e-6, rtol=0)


def test_a_difference_of_brightness_spreads_over_the_whole_gap():
    gap = torch.zeros(1, 3, 16, 9)
    met = meet_edges(gap, torch.ones(1, 3, 16, 1), torch.zeros(1, 3, 16, 1))
    torch.testing.assert_close(met[0, 0, 5], torch.arange(9, 0, -1) / 10, atol=1e-5, rtol=0)


def test_finer_detail_fades_sooner():
    row = torch.arange(64) + 0.5
    lengths = []
    for period in (4, 16, 64):
        edge = torch.cos(2 * torch.pi * row / period)[None, None, :, None]
        met = meet_edges(torch.zeros(1, 1, 64, 400), edge, torch.zeros(1, 1, 64, 1))
        lengths.append(int((met.abs().amax(dim=-2)[0, 0] > 0.1).sum()))
    assert 2 < lengths[0] < lengths[1] / 3 < lengths[2] / 9 < 20


def test_it_stays_exact_for_high_photos():
    """The slowest of thousands of frequencies must not vanish in rounding."""
    left, right = torch.rand(1, 1, 5000, 1), torch.rand(1, 1, 5000, 1)
    gap = torch.rand(1, 1, 5000, 6)
    exact = meet_edges(gap.double(), left.double(), right.double()).float()
    torch.testing.assert_close(meet_edges(gap, left, right), exact, atol=1e-4, rtol=0)


@pytest.mark.parametrize("width", [CHUNK_COLUMNS - 1, CHUNK_COLUMNS, CHUNK_COLUMNS + 1, 3 * CHUNK_COLUMNS])
def test_gaps_of_many_columns_are_in_one_piece(width):
    edge = torch.linspace(0, 1, 12, dtype=torch.float64)[None, None, :, None]
    met = meet_edges(torch.zeros(1, 1, 12, width, dtype=torch.float64), edge, 1 - edge)
    with_ends = torch.cat([edge, met, 1 - edge], dim=-1)
    torch.testing.assert_close(stretched_laplacian(with_ends), torch.zeros_like(met), atol=1e-9, rtol=0)


@pytest.mark.parametrize("height", [256, 1024, 2160])
def test_no_step_between_textured_photos_and_a_gap_of_other_colours(height):
    """The gap is drawn at the network's size, softer and of another brightness and tint."""
    left, right = (mean + 0.1 * torch.randn(1, 3, height, 16) for mean in (0.3, 0.6))
    tint = torch.tensor([0.8, 0.5, 0.2]).view(1, 3, 1, 1)
    gap = meet_edges(
        resize((tint + 0.1 * torch.randn(1, 3, 256, 64)).clamp(0, 1), height, 200), left[..., -1:], right[..., :1]
    )
    photo_step = torch.cat([left.diff(dim=-1), right.diff(dim=-1)], dim=-1).abs().mean()
    for edge in (gap[..., :1] - left[..., -1:], gap[..., -1:] - right[..., :1]):
        assert edge.abs().mean() <= 1.25 * photo_step
    colours = gap.mean(dim=-2)[0]
    assert (colours.unfold(-1, 40, 20).mean(dim=-1).diff(dim=-1).abs() < 0.15).all()


def test_the_gap_itself_can_be_written_to():
    gap, left, right = torch.rand(2, 3, 20, 300), torch.rand(2, 3, 20, 1), torch.rand(2, 3, 20, 1)
    expected = meet_edges(gap, left, right)
    assert meet_edges(gap, left, right, out=gap) is gap
    assert torch.equal(gap, expected)


def test_sides_are_treated_alike():
    gap, left, right = torch.rand(1, 3, 20, 15), torch.rand(1, 3, 20, 1), torch.rand(1, 3, 20, 1)
    mirrored = meet_edges(gap.flip(-1), right, left).flip(-1)
    torch.testing.assert_close(meet_edges(gap, left, right), mirrored)


def test_a_single_pixel_is_the_mean_of_its_ends():
    met = meet_edges(torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))
    torch.testing.assert_close(met, torch.full((1, 1, 1, 1), 0.5))
