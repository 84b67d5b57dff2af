"""The distances of two sets of features, against what they must be in cases where that is known."""

from __future__ import annotations

import pytest
import torch

from training.evaluation.distribution_distances import frechet_distance, kernel_distance


def normal(count: int, dimensions: int = 8, *, seed: int) -> torch.Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed))


def whitened(count: int, dimensions: int, *, seed: int) -> torch.Tensor:
    """Rows whose mean is exactly zero and whose covariance is exactly one."""
    rows = normal(count, dimensions, seed=seed).double()
    rows = rows - rows.mean(dim=0)
    return rows @ torch.linalg.cholesky(torch.linalg.inv(rows.T.cov()))


def plain_kernel_distance(features, true_features):
    """The unbiased estimate as its paper writes it (equation 4)."""

    def kernel(rows, others):
        return (rows @ others.T / rows.shape[1] + 1) ** 3

    within = 0.0
    for rows in (features.double(), true_features.double()):
        values = kernel(rows, rows)
        within += (values.sum() - values.trace()).item() / (len(rows) * (len(rows) - 1))
    return within - 2 * kernel(features.double(), true_features.double()).mean().item()


def test_a_set_is_at_no_frechet_distance_from_itself():
    features = normal(200, seed=1)
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(features[:5], features[:5].flip(0)) == pytest.approx(0, abs=1e-4)  # fewer rows than columns


def test_the_frechet_distance_of_a_shifted_copy_is_the_square_of_the_shift():
    features, shift = normal(200, seed=2), torch.linspace(-1, 2, 8)
    assert frechet_distance(features + shift, features) == pytest.approx(shift.square().sum().item(), rel=1e-6)


def test_the_frechet_distance_of_two_normal_distributions_is_the_closed_form():
    """Covariances diag(a²) and diag(b²) are Σ (a - b)² apart, besides their means."""
    rows = whitened(500, 4, seed=3)
    spread, other_spread = torch.tensor([1.0, 2.0, 0.5, 3.0]), torch.tensor([2.0, 2.0, 1.0, 0.1])
    distance = frechet_distance(rows * spread + 1, rows.flip(0) * other_spread)
    assert distance == pytest.approx(4 + (spread - other_spread).square().sum().item(), rel=1e-6)


def test_the_frechet_distance_is_symmetric_and_keeps_precision_far_from_zero():
    """In single precision, a mean of 1000 would drown a variance of 1."""
    features, others = normal(300, seed=4), 1.5 * normal(300, seed=5)
    distance = frechet_distance(features, others)
    assert frechet_distance(others, features) == pytest.approx(distance, rel=1e-9)
    assert frechet_distance(features.double() + 1000, others.double() + 1000) == pytest.approx(distance, rel=1e-5)


def test_the_kernel_distance_of_all_rows_is_the_plain_formula():
    features, others = normal(120, seed=6), 0.5 + normal(120, seed=7)
    distance = kernel_distance(features, others)
    assert distance == pytest.approx(plain_kernel_distance(features, others), rel=1e-9)
    assert distance > 0.1
    assert kernel_distance(features, others, subset_size=120, seed=9) == pytest.approx(distance, rel=1e-9)


def test_the_kernel_distance_within_one_distribution_is_zero_on_average_whatever_the_count():
    """Unbiased: above and below zero, where the Fréchet distance is far above, and the more so with few rows."""
    for count, most in ((10, 0.3), (400, 0.01)):
        distances = [kernel_distance(normal(count, seed=s), normal(count, seed=100 + s)) for s in range(40)]
        mean = sum(distances) / len(distances)
        assert abs(mean) < most and min(distances) < 0 < max(distances)
        frechet = frechet_distance(normal(count, seed=1), normal(count, seed=101))
        assert frechet > 5 * abs(mean)


def test_subsets_are_drawn_alike_for_a_seed_and_average_to_the_whole():
    features, others = normal(300, seed=8), 0.3 + normal(200, seed=9)
    first = kernel_distance(features, others, subset_size=50, subsets=20, seed=3)
    assert kernel_distance(features, others, subset_size=50, subsets=20, seed=3) == first
    assert kernel_distance(features, others, subset_size=50, subsets=20, seed=4) != first
    many = kernel_distance(features, others, subset_size=50, subsets=400)
    assert many == pytest.approx(plain_kernel_distance(features, others), rel=0.05)


def test_a_subset_is_cut_to_the_smaller_set():
    features, others = normal(40, seed=10), normal(30, seed=11)
    assert kernel_distance(features, others) == kernel_distance(features, others, subset_size=30)


def test_drawing_leaves_the_global_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    kernel_distance(normal(40, seed=12), normal(40, seed=13), subset_size=10, subsets=3)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


@pytest.mark.filterwarnings("error")
def test_nothing_warns():
    frechet_distance(normal(40, seed=14), normal(30, seed=15))
    kernel_distance(normal(40, seed=14), normal(30, seed=15))


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
@pytest.mark.parametrize(
    ("shape", "other_shape", "message"),
    [
        ((4, 8), (4, 7), r"features are \(4, 8\), true features \(4, 7\); both must be \(images, features\)"),
        ((4, 8, 1), (4, 8), r"features are \(4, 8, 1\)"),
        ((4, 8), (1, 8), r"true features \(1, 8\); a distribution takes at least two images"),
    ],
)
def test_features_that_cannot_be_compared_are_refused(distance, shape, other_shape, message):
    with pytest.raises(ValueError, match=message):
        distance(torch.zeros(shape), torch.zeros(other_shape))


@pytest.mark.parametrize("numbers", [{"subset_size": 1}, {"subsets": 0}])
def test_no_draw_at_all_is_refused(numbers):
    with pytest.raises(ValueError, match="give at least one, of at least two rows"):
        kernel_distance(normal(4, seed=1), normal(4, seed=2), **numbers)
