import pytest
import torch
import torch.nn.functional as F

from tests.scenery import rough_ground
from wrb import blend, blend_sequence, restore_photos
from wrb.resampling import resize


@pytest.fixture(scope="module")
def generator(tiny_generator):
    return tiny_generator


def textured(*size, batch=1):
    return 0.25 + 0.3 * torch.rand(batch, 3, 1, 1) + 0.2 * torch.rand(batch, 3, *size)


@pytest.fixture(scope="module")
def made(generator):
    """Photos 90 and 40 px wide, a gap of 60."""
    return blend(generator, textured(64, 90), textured(64, 40), 60)


def upscaled(panorama, height, width):
    return F.interpolate(panorama, (height, width), mode="bilinear")


def step_ratios(blended):
    """At each edge of a gap, and where the panorama wraps around, over the median step within the photos."""
    panorama = blended.panorama.mT if blended.direction == "down" else blended.panorama
    steps = (panorama.roll(-1, dims=-1) - panorama).abs().mean(dim=(0, 1, 2))
    parts = blended.layout.split(panorama)
    within = torch.cat([photo.diff(dim=-1).abs().mean(dim=(0, 1, 2)) for photo in parts[0]]).median()
    mask = blended.gap_mask.amax(dim=(0, 2 if blended.direction == "down" else 1)).bool()
    return steps[mask != mask.roll(-1)] / within


def test_at_the_blends_own_size_the_photos_are_the_originals(made):
    repainted = (made.panorama * 0.8 + 0.1 * torch.rand_like(made.panorama)).clamp(0, 1)
    copy = repainted.clone()
    restored = restore_photos(repainted, made)
    left, right = made.originals
    assert torch.equal(restored.panorama[..., :90], left)
    assert torch.equal(restored.panorama[..., 150:], right)
    assert torch.equal(restored.gap_mask, made.gap_mask)
    assert torch.equal(repainted, copy)


def test_the_gap_stays_as_it_was_handed_in_but_for_colour(made):
    repainted = made.panorama.clone()
    repainted[..., 90:150] = 0.5 + 0.1 * torch.sin(torch.arange(60) / 2)
    restored = restore_photos(repainted, made).panorama[..., 90:150]
    detail = restored.mean(dim=-2)[..., 1:-1] - restored.mean(dim=-2).unfold(-1, 3, 1).mean(dim=-1)
    expected = repainted[..., 90:150].mean(dim=-2)
    expected = expected[..., 1:-1] - expected.unfold(-1, 3, 1).mean(dim=-1)
    torch.testing.assert_close(detail, expected, atol=1e-3, rtol=0)
    assert not torch.allclose(restored, repainted[..., 90:150], atol=0.02)


@pytest.mark.parametrize(("height", "width"), [(128, 380), (96, 285), (87, 258), (240, 713), (31, 92)])
@pytest.mark.parametrize("tint", [0, 0.2])
def test_photos_return_at_any_scale_and_no_step_shows(made, height, width, tint):
    restored = restore_photos((upscaled(made.panorama, height, width) * 0.8 + tint).clamp(0, 1), made)
    assert restored.panorama.shape == (1, 3, height, width)
    assert restored.gap_mask.shape == (1, height, width)
    left_width, right_width = round(90 * width / 190), width - round(150 * width / 190)
    expected = resize(made.originals[0], height, left_width), resize(made.originals[1], height, right_width)
    assert torch.equal(restored.panorama[..., :left_width], expected[0])
    assert torch.equal(restored.panorama[..., -right_width:], expected[1])
    assert restored.gap_mask.sum() == height * (width - left_width - right_width)
    assert 0 <= restored.panorama.min() and restored.panorama.max() <= 1
    assert step_ratios(restored)[:2].mean() <= 1.25


def test_a_photo_that_was_scaled_down_for_the_blend_comes_back_whole(generator):
    small, large = textured(32, 40), textured(64, 90)
    made = blend(generator, small, large)
    restored = restore_photos(upscaled(made.panorama, 64, 2 * made.panorama.shape[-1]), made)
    assert torch.equal(restored.panorama[..., -90:], large)


def test_a_feathered_photo_passes_into_what_was_handed_in(made):
    handed_in = (upscaled(made.panorama, 128, 380) * 0.8).clamp(0, 1)
    kept = restore_photos(handed_in, made).panorama
    feathered = restore_photos(handed_in, made, feather=30).panorama
    assert torch.equal(feathered[..., :150], kept[..., :150])
    assert not torch.equal(feathered[..., 150:180], kept[..., 150:180])
    torch.testing.assert_close(feathered[..., 179], handed_in[..., 179], atol=2e-3, rtol=0)
    torch.testing.assert_close(feathered[..., 300], handed_in[..., 300], atol=2e-3, rtol=0)
    assert torch.equal(feathered[..., 330:], kept[..., 330:])


def test_detail_makes_good_what_an_upscaler_left_soft(generator):
    left, middle, right = rough_ground(512, 1200).split([400, 400, 400], dim=-1)
    made = blend(generator, left, right, 400)
    painted = torch.cat([left, middle, right], dim=-1)
    handed_in = resize(resize(painted, 256, 600), 512, 1200)
    plain, sharp = (restore_photos(handed_in, made, detail=detail).panorama[..., 400:-400] for detail in (0, 1))
    finest = [image - resize(resize(image, 256, 200), 512, 400) for image in (middle, plain, sharp)]
    truth, soft, restored = (image.square().mean() for image in finest)
    assert soft < 0.1 * truth and 0.5 < restored / truth < 2
    assert torch.equal(restore_photos(handed_in, made).panorama[..., 400:-400], plain)


def test_a_loop_is_closed_again_where_an_upscaler_broke_it(generator):
    photos = [textured(50, width) for width in (70, 50, 90)]
    made = blend_sequence(generator, photos, 40, loop=True)
    broken = upscaled(made.panorama, 125, round(2.5 * made.panorama.shape[-1]))
    broken = (broken * torch.linspace(0.6, 1.2, broken.shape[-1])).clamp(0, 1)
    restored = restore_photos(broken, made)
    ratios = step_ratios(restored)
    assert len(ratios) == 6
    assert ratios.mean() <= 1.25 and ratios.max() <= 2


def test_down_is_the_same_turned(generator):
    photos = [textured(40, width) for width in (50, 30)]
    right = blend_sequence(generator, photos, 20)
    down = blend_sequence(generator, [photo.mT for photo in photos], 20, direction="down")
    handed_in = upscaled(right.panorama, 60, 150)
    restored = restore_photos(handed_in.mT, down, feather=7)
    expected = restore_photos(handed_in, right, feather=7)
    torch.testing.assert_close(restored.panorama, expected.panorama.mT, atol=1e-5, rtol=0)
    assert torch.equal(restored.gap_mask, expected.gap_mask.mT)


def test_each_of_a_batch_gets_its_own_photos(generator):
    lefts, right = textured(30, 40, batch=3), textured(30, 20)
    made = blend(generator, lefts, right)
    restored = restore_photos(upscaled(made.panorama, 60, 180), made).panorama
    torch.testing.assert_close(restored[..., :80], resize(lefts, 60, 80))
    torch.testing.assert_close(restored[..., -40:], resize(right, 60, 40).expand(3, -1, -1, -1))


def test_many_versions_of_one_panorama_are_all_restored(made):
    versions = (made.panorama * torch.tensor([0.7, 0.9, 1]).view(3, 1, 1, 1)).repeat_interleave(2, dim=0)
    restored = restore_photos(versions, made, feather=3)
    assert restored.gap_mask.shape == (6, 64, 190)
    assert torch.equal(restored.panorama[..., :87], made.originals[0][..., :87].expand(6, -1, -1, -1))


def cut(panorama, block, *, at_both_ends):
    """As VAEs do; also how many px are gone above and to the left."""
    height, width = panorama.shape[-2:]
    top, left = (height % block // 2, width % block // 2) if at_both_ends else (0, 0)
    window = panorama[..., top : top + height // block * block, left : left + width // block * block]
    return window, top, left


@pytest.mark.parametrize("block", [8, 16, 32])
@pytest.mark.parametrize("at_both_ends", [True, False])
@pytest.mark.parametrize("direction", ["right", "down"])
def test_photos_return_to_their_place_after_a_vae_has_cut_the_sides(generator, block, at_both_ends, direction):
    photos = [F.avg_pool2d(textured(*size), 3, stride=1) for size in ((81, 92), (81, 65))]
    photos = [photo.mT if direction == "down" else photo for photo in photos]
    made = blend_sequence(generator, photos, 47, direction=direction)
    handed_in, top, left = cut(made.panorama, block, at_both_ends=at_both_ends)
    handed_in = 1 - 0.8 * handed_in  # all colours changed
    restored = restore_photos(handed_in, made)
    expected, _, _ = cut(made.panorama, block, at_both_ends=at_both_ends)
    mask, _, _ = cut(made.gap_mask, block, at_both_ends=at_both_ends)
    assert restored.panorama.shape == handed_in.shape
    assert torch.equal(restored.gap_mask, mask)
    is_photo = (mask == 0).expand_as(expected[0])[None]
    assert torch.equal(restored.panorama[is_photo], expected[is_photo])
    assert step_ratios(restored).max() <= 2
    again = restore_photos(upscaled(restored.panorama, *(2 * side for side in handed_in.shape[-2:])), restored)
    from_whole = restore_photos(again.panorama, made)
    torch.testing.assert_close(again.panorama, from_whole.panorama, atol=2e-2, rtol=0)
    assert torch.equal(again.gap_mask, from_whole.gap_mask)


@pytest.mark.parametrize("block", [8, 16])
@pytest.mark.slow
def test_every_height_can_go_through_a_vae(generator, block):
    for height in range(33, 66, 3):
        made = blend(generator, textured(height, 50), textured(height, 41), 2 * height)
        handed_in, _, left = cut(made.panorama, block, at_both_ends=True)
        restored = restore_photos(handed_in, made)
        assert restored.layout.photo_widths[0] == 50 - left
        assert restored.panorama.shape == handed_in.shape


def test_what_is_restored_can_be_upscaled_and_restored_again(made):
    once = restore_photos(upscaled(made.panorama, 128, 380), made)
    twice = restore_photos(upscaled(once.panorama, 192, 570), once)
    torch.testing.assert_close(twice.panorama[..., :270], resize(made.originals[0], 192, 270))


def test_gradients_are_not_recorded(made):
    panorama = made.panorama.clone().requires_grad_()
    assert not restore_photos(panorama, made).panorama.requires_grad


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        ((1, 3, 64, 200), {}, "the panorama is 200×64 px, which is not the blend's 190×64 px at any scale"),
        ((1, 3, 256, 380), {}, "380×256 px.*give the whole of it, with width and height scaled by the same factor"),
        ((1, 3, 1, 2), {}, "a panorama of 2×1 px leaves no pixel"),
        ((1, 2, 64, 190), {}, r"panorama is \(1, 2, 64, 190\)"),
        ((1, 3, 64, 190), {"feather": -1}, "feather is -1 px"),
        ((1, 3, 64, 190), {"detail": 1.1}, "detail is 1.1; it goes from 0"),
    ],
)
def test_what_cannot_be_restored_is_refused(made, size, options, message):
    with pytest.raises(ValueError, match=message):
        restore_photos(torch.rand(size), made, **options)


def test_some_of_a_batch_are_refused(generator):
    made = blend(generator, textured(16, 16, batch=3), textured(16, 16))
    with pytest.raises(ValueError, match="the blend made 3 panoramas, but here are 2"):
        restore_photos(made.panorama[:2], made)


def test_a_panorama_may_be_distorted_by_one_per_cent(made):
    """As nodes do that round both sides to blocks; more is another panorama."""
    assert restore_photos(upscaled(made.panorama, 640, 1917), made).panorama.shape[-1] == 1917
    with pytest.raises(ValueError, match="not the blend's 190×64 px at any scale"):
        restore_photos(upscaled(made.panorama, 640, 1928), made)
