from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from benchmarks.detail_spectrum import octaves
from tests.scenery import rough_ground, scenery
from wrb import blend, blend_sequence, crop_gaps, restore_crops
from wrb.resampling import resize


@pytest.fixture(scope="module")
def generator(tiny_generator):
    return tiny_generator


@pytest.fixture(scope="module")
def made(generator):
    """Photos 400 and 250 px wide, a gap of 180, all 200 px high."""
    return blend(generator, scenery(200, 400), scenery(200, 250), 180)


@pytest.fixture(scope="module")
def loop(generator):
    photos = [scenery(120, width) for width in (150, 40, 130)]
    return blend_sequence(generator, photos, [120, 60, 700], loop=True)


def columns_of(panorama, crop):
    """What a crop shows of a panorama that it lies within."""
    return resize(panorama[..., crop.columns], *crop.image.shape[-2:])


def repaint(crop, change):
    """As an inpainting model does: anew where the mask says so."""
    return torch.lerp(crop.image, change(crop.image), crop.mask[:, None])


def invert(image):
    return 1 - image


@pytest.mark.parametrize("multiple", [8, 16, 32, 64])
@pytest.mark.parametrize("size", [{"height": 100}, {"height": 700}, {"megapixels": 0.1}, {"megapixels": 1.3}])
def test_sides_are_multiples_and_nothing_is_distorted(made, multiple, size):
    (crop,) = crop_gaps(made, multiple=multiple, **size)
    height, width = crop.image.shape[-2:]
    assert height % multiple == width % multiple == 0
    if "height" in size:
        assert abs(height - size["height"]) <= multiple / 2
    else:
        assert 0.6 < height * width / (size["megapixels"] * 1024 * 1024) < 1.5
    shown = crop.columns.stop - crop.columns.start
    assert abs(shown * height / 200 - width) <= max(0.5, height / 200 / 2)
    assert shown >= 180 + 2 * 100
    torch.testing.assert_close(crop.image, columns_of(made.panorama, crop))


def test_the_gap_lies_in_the_middle_and_context_is_what_was_asked_for(made):
    (crop,) = crop_gaps(made, context=0.75, height=200, multiple=8)
    left, right = 400 - crop.columns.start, crop.columns.stop - 580
    assert 150 <= left < 158 and 150 <= right < 158 and abs(left - right) <= 1


def test_the_mask_covers_the_gap_and_grows_and_fades_into_the_photos(made):
    (crop,) = crop_gaps(made, height=150, grow=5, feather=10)
    row = crop.mask[0, 0]
    assert (crop.mask == row).all()
    scale = crop.image.shape[-1] / (crop.columns.stop - crop.columns.start)
    start, end = (400 - crop.columns.start) * scale, (580 - crop.columns.start) * scale
    grown = row[int(start) - 5 : int(end - 1e-4) + 6]
    assert (grown == 1).all()
    before = row[int(start) - 15 : int(start) - 5]
    assert (before.diff() > 0).all() and 0 < before[0] < 0.05 and 0.95 < before[-1] < 1
    assert (row[: int(start) - 15] == 0).all()
    after = row[int(end - 1e-4) + 6 : int(end - 1e-4) + 16]
    torch.testing.assert_close(after, before.flip(0), atol=0.16, rtol=0)  # half a px or less apart
    assert (row[int(end - 1e-4) + 17 :] == 0).all()


def test_photos_narrower_than_the_context_are_shown_whole(generator):
    made = blend(generator, scenery(200, 30), scenery(200, 1000), 100)
    (crop,) = crop_gaps(made, context=1, height=200, multiple=64)
    assert crop.columns.start == 0 and crop.columns.stop >= 330
    made = blend(generator, scenery(200, 30), scenery(200, 41), 100)
    (crop,) = crop_gaps(made, context=1, height=200, multiple=64)
    assert crop.image.shape[-2:] == (192, 192)
    assert crop.columns == slice(0, 200)
    assert torch.equal(made.panorama[..., 142:].flip(-1)[..., :29], made.panorama[..., -29:].flip(-1))
    mirrored = torch.cat([made.panorama, made.panorama[..., -29:].flip(-1)], dim=-1)
    torch.testing.assert_close(crop.image, resize(mirrored, 192, 192))
    restored = restore_crops([invert(crop.image)], [crop]).panorama
    assert torch.equal(restored[..., :30], made.panorama[..., :30])
    assert torch.equal(restored[..., 130:], made.panorama[..., 130:])


def test_the_closing_gap_of_a_loop_is_shown_between_the_end_and_the_beginning(loop):
    crop = crop_gaps(loop, height=120, max_width=9)[-1]
    assert crop.columns.stop > loop.layout.width
    around = torch.cat([loop.panorama, loop.panorama], dim=-1)
    torch.testing.assert_close(crop.image, columns_of(around, crop))


def test_a_gap_wider_than_a_crop_may_be_gets_several_that_overlap(loop):
    crops = [crop for crop in crop_gaps(loop, height=120, max_width=2) if crop.gap == 2]
    assert len(crops) > 2
    widths = {crop.columns.stop - crop.columns.start for crop in crops}
    assert len(widths) == 1 and widths.pop() <= 2 * 120 + 8
    start, end = loop.layout.gaps[2].start, loop.layout.gaps[2].stop
    assert crops[0].columns.start <= start - 60 and crops[-1].columns.stop >= end + 60 - 20
    for before, after in pairwise(crops):
        assert before.columns.stop - after.columns.start == before.overlaps[1] == after.overlaps[0] >= 30
    assert crops[0].overlaps[0] == crops[-1].overlaps[1] == 0


@pytest.mark.parametrize("height", [96, 200, 512])
def test_what_was_repainted_is_back_and_the_photos_are_the_originals(made, height):
    (crop,) = crop_gaps(made, height=height, grow=8)
    handed_in = repaint(crop, invert)
    copy = handed_in.clone()
    restored = restore_crops([handed_in], [crop])
    assert torch.equal(handed_in, copy)
    left, right = made.originals
    assert torch.equal(restored.panorama[..., :400], left)
    assert torch.equal(restored.panorama[..., 580:], right)
    assert torch.equal(restored.gap_mask, made.gap_mask)
    gap = restored.panorama[..., 400:580]
    expected = resize(handed_in, 200, crop.columns.stop - crop.columns.start)
    expected = expected[..., 400 - crop.columns.start : 580 - crop.columns.start]
    # its colours are made to meet the photos, and so change, but little from one column to the next
    inner = slice(30, 150)
    detail, wanted = (
        (image - F.avg_pool2d(image, (1, 9), 1, (0, 4)))[..., inner].reshape(-1) for image in (gap, expected)
    )
    assert torch.corrcoef(torch.stack([detail, wanted]))[0, 1] > 0.99
    steps = restored.panorama.diff(dim=-1).abs().mean(dim=(0, 1, 2))
    assert (steps[[399, 579]] < 1.25 * steps[:399].median()).all()


def test_a_crop_that_nobody_changed_changes_nothing(loop):
    crops = crop_gaps(loop, height=120, max_width=2)
    restored = restore_crops([crop.image for crop in crops], crops)
    change = (restored.panorama - loop.panorama).abs()
    assert change.max() < 0.03  # both edges of a gap are led to the photos once more
    assert change.mean() < 1e-3


def test_gaps_without_a_crop_stay(loop):
    crop = crop_gaps(loop, height=120)[1]
    restored = restore_crops([repaint(crop, invert)], [crop]).panorama
    first, second = loop.layout.gaps[:2]
    assert (restored[..., first] - loop.panorama[..., first]).abs().mean() < 1e-3
    assert (restored[..., second] - loop.panorama[..., second]).abs().mean() > 0.04


def test_crops_of_one_gap_are_joined_without_a_seam(loop):
    """Each was painted in a brightness of its own: nowhere is there a step."""
    crops = crop_gaps(loop, height=120, max_width=2)
    painted = [crop.image * 0 + 0.3 + 0.4 * (number % 2) for number, crop in enumerate(crops)]
    panorama = restore_crops(painted, crops).panorama
    gap = panorama[..., loop.layout.gaps[2]]
    assert gap[..., 100:-100].diff(dim=-1).abs().max() < 0.05
    assert gap[..., 100:-100].std() > 0.1
    edges = [edge for gap in loop.layout.gaps for edge in (gap.start - 1, gap.stop - 1)]
    steps = (panorama.roll(-1, dims=-1) - panorama).abs().mean(dim=(0, 1, 2))
    photos = torch.cat([photo.diff(dim=-1).abs().mean(dim=(0, 1, 2)) for photo in loop.layout.split(panorama)[0]])
    assert (steps[edges] < 2 * photos.median()).all()


def test_photos_fade_into_the_crop_where_that_is_asked_for(made):
    (crop,) = crop_gaps(made, height=200, grow=40)
    striped = crop.image.clone()
    striped[..., ::2] = 0.2 + 0.6 * torch.rand(1, 3, 200, 1)
    kept = restore_crops([striped], [crop]).panorama
    feathered = restore_crops([striped], [crop], feather=20).panorama
    assert torch.equal(feathered[..., :380], made.panorama[..., :380])
    assert torch.equal(feathered[..., 600:], made.panorama[..., 600:])
    change = (feathered - kept)[..., 380:400].abs().mean(dim=(0, 1, 2))
    assert 0 < change[:5].mean() < 0.3 * change[-5:].mean()


def test_what_fades_into_the_photos_has_their_colours(made):
    """However the model has shifted those of the whole crop."""
    (crop,) = crop_gaps(made, height=200, grow=20)
    panorama = restore_crops([crop.image * 0.7], [crop], feather=20).panorama
    assert (panorama - made.panorama)[..., 380:400].abs().mean() < 0.02


def test_no_more_of_a_photo_fades_than_the_crop_shows(made):
    (crop,) = crop_gaps(made, context=0.1, height=200)
    panorama = restore_crops([invert(crop.image)], [crop], feather=999).panorama
    assert torch.equal(panorama[..., : crop.columns.start], made.panorama[..., : crop.columns.start])
    assert torch.equal(panorama[..., crop.columns.stop :], made.panorama[..., crop.columns.stop :])


def test_a_photo_between_two_gaps_fades_into_both(loop):
    crops = crop_gaps(loop, height=120)
    painted = [torch.rand_like(crop.image) for crop in crops]
    panorama = restore_crops(painted, crops, feather=999).panorama
    change = (panorama - loop.panorama).abs().mean(dim=(0, 1, 2))
    photo = loop.layout.split(change)[0][1]
    assert photo[:5].min() > 0.1 and photo[-5:].min() > 0.1 and photo[18:22].max() < 0.05


@pytest.mark.parametrize("factor", [0.5, 1.7, 2])
def test_a_crop_may_come_back_at_another_size(made, factor):
    (crop,) = crop_gaps(made, height=160)
    larger = resize(crop.image, *(round(side * factor) for side in crop.image.shape[-2:]))
    restored = restore_crops([larger], [crop]).panorama
    gap, before = restored[..., 400:580], made.panorama[..., 400:580]
    assert (F.avg_pool2d(gap, 4) - F.avg_pool2d(before, 4)).abs().mean() < 0.01


@pytest.mark.parametrize("at_both_ends", [True, False])
def test_a_crop_that_a_vae_has_cut_is_put_back_in_its_place(made, at_both_ends):
    (crop,) = crop_gaps(made, height=200, multiple=8)
    height, width = crop.image.shape[-2:]
    assert (height % 32, width % 32) != (0, 0)
    top, left = (height % 32 // 2, width % 32 // 2) if at_both_ends else (0, 0)
    cut = crop.image[..., top : top + height // 32 * 32, left : left + width // 32 * 32]
    restored = restore_crops([cut], [crop]).panorama
    whole = restore_crops([crop.image], [crop]).panorama
    assert restored.shape == whole.shape
    rows = slice(top + 8, top + height // 32 * 32 - 8)
    assert (restored[..., rows, :] - whole[..., rows, :]).abs().mean() < 2e-3
    assert torch.equal(restored[..., :400], made.originals[0])


def test_down_is_the_same_turned(generator):
    photos = [scenery(100, width) for width in (120, 80)]
    right = blend(generator, *photos, 300, layers=0, detail=0)
    down = blend(generator, *(photo.mT for photo in photos), 300, layers=0, detail=0, direction="down")
    down = type(down)(**{**vars(down), "panorama": right.panorama.mT})
    options = {"height": 64, "max_width": 2, "grow": 3, "feather": 3}
    crops, turned = crop_gaps(right, **options), crop_gaps(down, **options)
    assert len(crops) == len(turned) > 1
    for crop, other in zip(crops, turned, strict=True):
        assert torch.equal(crop.image, other.image.mT)
        assert torch.equal(crop.mask, other.mask.mT)
    painted = [repaint(crop, invert) for crop in crops]
    expected = restore_crops(painted, crops, feather=3).panorama
    restored = restore_crops([image.mT for image in painted], turned, feather=3)
    torch.testing.assert_close(restored.panorama, expected.mT, atol=1e-5, rtol=0)


def test_each_of_a_batch_gets_its_own_gap(generator):
    lefts = torch.cat([scenery(100, 80), scenery(100, 80)])
    made = blend(generator, lefts, scenery(100, 60))
    (crop,) = crop_gaps(made, height=64)
    assert crop.image.shape[0] == crop.mask.shape[0] == 2
    painted = crop.image * torch.tensor([0.5, 1]).view(2, 1, 1, 1)
    both = restore_crops([painted], [crop]).panorama
    assert torch.equal(both[..., :80], lefts)
    assert (both[1, ..., 120:140] - made.panorama[1, ..., 120:140]).abs().mean() < 0.02
    assert (both[0, ..., 120:140] - made.panorama[0, ..., 120:140]).abs().mean() > 0.025


def test_many_versions_of_one_panorama_are_all_restored(made):
    (crop,) = crop_gaps(made, height=96)
    versions = crop.image * torch.tensor([0.5, 0.75, 1]).view(3, 1, 1, 1)
    restored = restore_crops([versions], [crop], feather=3, detail=1)
    assert restored.panorama.shape == (3, 3, 200, 830)
    assert restored.gap_mask.shape == (3, 200, 830)
    one = restore_crops([versions[1:2]], [crop], feather=3, detail=1)
    assert torch.equal(restored.panorama[1:2], one.panorama)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": 2.1}, "context is 2.1 heights; it goes from 0 to 2"),
        ({"context": float("nan")}, "context is nan"),
        ({"height": -8}, "height is -8; it must be more than 0"),
        ({"megapixels": 0}, "megapixels is 0"),
        ({"multiple": 0}, "multiple is 0"),
        ({"grow": -1}, "grow is -1 px"),
        ({"feather": -1}, "feather is -1 px"),
        ({"context": 1, "max_width": 1.9}, "max_width is 1.9 heights; with a context of 1 it must be at least 2"),
    ],
)
def test_what_cannot_be_cropped_is_refused(made, options, message):
    with pytest.raises(ValueError, match=message):
        crop_gaps(made, **options)


def test_what_cannot_be_restored_is_refused(made, loop):
    (crop,) = crop_gaps(made, height=64)
    other = crop_gaps(loop, height=64)[0]
    with pytest.raises(ValueError, match="1 images for 2 crops"):
        restore_crops([crop.image], [crop, crop])
    with pytest.raises(ValueError, match="the crops are of several blends"):
        restore_crops([crop.image, other.image], [crop, other])
    with pytest.raises(ValueError, match="the crop is 64×64 px, which is not the blend's 128×64 px at any scale"):
        restore_crops([torch.rand(1, 3, 64, 64)], [crop])
    with pytest.raises(ValueError, match="feather is -1 px"):
        restore_crops([crop.image], [crop], feather=-1)
    with pytest.raises(ValueError, match=r"detail is 1\.5"):
        restore_crops([crop.image], [crop], detail=1.5)
    crops = crop_gaps(loop, height=64)[:2]
    with pytest.raises(ValueError, match="of the crops here are 1, 2; give as many of each"):
        restore_crops([crops[0].image, crops[1].image.repeat(2, 1, 1, 1)], crops)


@pytest.mark.slow
@pytest.mark.parametrize("height", [2160, 4320])
def test_a_gap_repainted_at_512_px_comes_back_as_sharp_as_the_photos(generator, height):
    """What a perfect model would paint: the true middle, scaled down to the crop's size."""
    truth = rough_ground(height, 2 * height)
    side = height // 2
    left, middle, right = truth.split([side, height, side], dim=-1)
    made = blend(generator, left, right, detail=0)
    (crop,) = crop_gaps(made, height=512)
    assert crop.columns == slice(0, 2 * height)
    painted = resize(truth, *crop.image.shape[-2:])
    plain, sharp = (restore_crops([painted], [crop], detail=detail).panorama[..., side:-side] for detail in (0, 1))
    wanted = octaves(middle[0])[:2]
    lacking = 10 * (octaves(plain[0])[:2] / wanted).log10()
    assert lacking[0] < -30 and lacking[1] < -10  # the second octave at 2160 px begins close to what 512 px can show
    assert ((10 * (octaves(sharp[0])[:2] / wanted).log10()).abs() < 3).all()
    errors = [(resize(image, 512, 512) - resize(middle, 512, 512)).square().mean() for image in (plain, sharp)]
    decibels = [-10 * error.log10() for error in errors]
    assert decibels[1] > 30 and decibels[1] > decibels[0] - 6
