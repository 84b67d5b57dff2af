import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wrb.geometry import checked_gap_width, context, gap_columns, prepare_pair
from wrb.resampling import resize

sizes = st.integers(1, 700)


def test_photos_that_fit_are_not_copied():
    left, right = torch.rand(2, 3, 20, 30), torch.rand(2, 3, 20, 40)
    prepared = prepare_pair(left, right)
    assert prepared[0].data_ptr() == left.data_ptr()
    assert prepared[1].data_ptr() == right.data_ptr()


def test_right_photo_takes_the_left_ones_height_and_keeps_its_proportions():
    left, right = prepare_pair(torch.rand(1, 3, 100, 7), torch.rand(1, 3, 50, 30))
    assert left.shape == (1, 3, 100, 7)
    assert right.shape == (1, 3, 100, 60)


@pytest.mark.parametrize(("lefts", "rights", "expected"), [(1, 3, [0, 0, 0]), (3, 1, [0, 1, 2]), (2, 4, [0, 1, 1, 1])])
def test_batches_repeat_their_last_photo(lefts, rights, expected):
    left = torch.rand(lefts, 3, 4, 4)
    prepared, other = prepare_pair(left, torch.rand(rights, 3, 4, 4))
    assert len(prepared) == len(other) == max(lefts, rights)
    assert torch.equal(prepared, left[expected])


def test_grey_is_repeated_and_transparency_laid_over_black():
    grey, colour = torch.rand(1, 1, 4, 4), torch.rand(1, 4, 4, 4)
    left, right = prepare_pair(grey, colour)
    assert torch.equal(left, grey.repeat(1, 3, 1, 1))
    assert torch.equal(right, colour[:, :3] * colour[:, 3:])


@pytest.mark.parametrize(
    ("photos", "message"),
    [
        (torch.rand(3, 8, 8), r"left is \(3, 8, 8\)"),
        (torch.rand(1, 2, 8, 8), "with 1, 3 or 4 channels"),
        (torch.rand(0, 3, 8, 8), "left is empty"),
        (torch.rand(1, 3, 0, 8), "left is empty"),
        (torch.full((1, 3, 8, 8), torch.nan), "left has 192 values that are NaN"),
        (torch.full((1, 3, 8, 8), -3e38), r"left has values of up to 3e\+38; scale them"),
        (torch.tensor([0.5, torch.inf, 0.1]).view(1, 3, 1, 1), "left has 1 values"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "left is torch.uint8"),
    ],
)
def test_unusable_photos_are_refused_by_name(photos, message):
    with pytest.raises(ValueError, match=message):
        prepare_pair(photos, torch.rand(1, 3, 8, 8))


def test_the_right_photo_is_checked_too():
    with pytest.raises(ValueError, match="right is empty"):
        prepare_pair(torch.rand(1, 3, 8, 8), torch.rand(0, 3, 8, 8))


def test_a_gap_is_as_wide_as_high_unless_told():
    assert checked_gap_width(None, 123) == 123


@pytest.mark.parametrize("width", [0, -5, 24, 801])
def test_gaps_outside_the_limits_are_refused_with_the_limits(width):
    with pytest.raises(ValueError, match=f"{width} px wide; between photos 100 px high it can be 25 to 800 px"):
        checked_gap_width(width, 100)


@given(height=sizes, factor=st.floats(0.25, 8))
def test_columns_are_the_nearest_number_and_at_least_one(height, factor):
    width = max(1, round(height * factor))
    columns = gap_columns(width, height)
    assert columns >= 1
    assert columns == 1 or abs(columns - 4 * width / height) <= 0.5


def test_the_context_is_the_square_next_to_the_gap():
    photos = torch.rand(1, 3, 256, 400)
    seen = context(photos)
    assert (seen.width, seen.columns) == (256, 256)
    assert torch.equal(seen.image, photos[..., -256:])


@given(height=sizes, width=sizes)
def test_every_photo_has_a_context(height, width):
    seen = context(torch.rand(1, 3, height, width))
    assert seen.image.shape == (1, 3, 256, 256)
    assert seen.width == min(width, height)
    assert 1 <= seen.columns <= 256


def test_a_narrow_photo_is_extended_by_reflection_for_the_network():
    photos = torch.rand(1, 3, 256, 100)
    seen = context(photos)
    assert torch.equal(seen.image[..., -100:], photos)
    assert torch.equal(seen.image[..., -200:-100], photos.flip(-1))
    assert torch.equal(seen.image[..., :-200], photos[..., -56:])


def test_resizing_never_leaves_the_range():
    checkerboard = (torch.arange(64)[:, None] + torch.arange(64)) % 2
    for size in ((7, 200), (200, 7), (64, 65)):
        resized = resize(checkerboard.float()[None, None], *size)
        assert resized.shape[-2:] == size
        assert 0 <= resized.min() and resized.max() <= 1
