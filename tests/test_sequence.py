import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wrb import blend, blend_sequence

MODES = ("keep", "feather", "redraw")


@pytest.fixture(scope="module")
def generator(tiny_generator):
    return tiny_generator


@pytest.fixture
def grey_generator(generator):
    """Draws an even grey everywhere."""
    generator = copy.deepcopy(generator).requires_grad_(False)
    generator.decoder_stage0[0].weight.zero_()
    return generator


def textured(*size):
    return 0.25 + 0.3 * torch.rand(1, 3, 1, 1) + 0.2 * torch.rand(1, 3, *size)


sizes = st.tuples(st.integers(1, 300), st.integers(1, 300))


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(sizes, min_size=2, max_size=4), loop=st.booleans(), mode=st.sampled_from(MODES), data=st.data())
def test_any_sizes_and_gaps(generator, sizes, loop, mode, data):
    photos = [torch.rand(1, 3, *size) for size in sizes]
    copies = [photo.clone() for photo in photos]
    height = sizes[0][0]
    gap_width = st.integers(-(-height // 4), 2 * height)
    num_gaps = len(photos) - 1 + loop
    gap_widths = data.draw(st.lists(gap_width, min_size=num_gaps, max_size=num_gaps))
    result = blend_sequence(generator, photos, gap_widths, loop=loop, photo_mode=mode, feather=40)

    photo_widths = [max(1, round(w * height / h)) for h, w in sizes]
    assert result.panorama.shape == (1, 3, height, sum(photo_widths) + sum(gap_widths))
    assert 0 <= result.panorama.min() and result.panorama.max() <= 1
    parts = [(width, 0) for width in photo_widths]
    for number, width in enumerate(gap_widths):
        parts.insert(2 * number + 1, (width, 1))
    expected_mask = torch.cat([torch.full((1, height, width), float(value)) for width, value in parts], dim=-1)
    assert torch.equal(result.gap_mask, expected_mask)
    assert all(torch.equal(photo, copy) for photo, copy in zip(photos, copies, strict=True))
    if mode == "keep":
        start = 0
        for photo, width, gap in zip(photos, photo_widths, [*gap_widths, 0], strict=False):
            if photo.shape[-2] == height:
                assert torch.equal(result.panorama[..., start : start + width], photo)
            start += width + gap


@pytest.mark.parametrize("mode", MODES)
def test_two_photos_are_a_blend(generator, mode):
    left, right = torch.rand(1, 3, 90, 200), torch.rand(1, 3, 60, 30)
    # without detail: its choice of sources turns on the smallest rounding
    pair = blend(generator, left, right, 70, photo_mode=mode, feather=25, detail=0)
    sequence = blend_sequence(generator, [left, right], 70, photo_mode=mode, feather=25, detail=0)
    torch.testing.assert_close(sequence.panorama, pair.panorama, atol=1e-4, rtol=0)
    assert torch.equal(sequence.gap_mask, pair.gap_mask)


def test_each_gap_is_that_of_its_two_neighbours(generator):
    photos = [textured(64, width) for width in (64, 150, 40)]
    gap_widths = [50, 64, 130]
    panorama = blend_sequence(generator, photos, gap_widths, loop=True, detail=0).panorama
    start = 0
    for number, width in enumerate(gap_widths):
        left, right = photos[number], photos[(number + 1) % 3]
        start += left.shape[-1]
        alone = blend(generator, left, right, width, detail=0)
        expected = alone.panorama[..., left.shape[-1] : left.shape[-1] + width]
        torch.testing.assert_close(panorama[..., start : start + width], expected, atol=1e-4, rtol=0)
        start += width
    assert start == panorama.shape[-1]


def test_detail_reaches_every_gap(generator):
    photos = [textured(128, 128) for _ in range(3)]
    plain, detailed = (blend_sequence(generator, photos, loop=True, detail=detail) for detail in (0, 1))
    gaps = zip(plain.layout.split(plain.panorama)[1], detailed.layout.split(detailed.panorama)[1], strict=True)
    for soft, sharp in gaps:
        assert sharp.diff(dim=-1).abs().mean() > 2 * soft.diff(dim=-1).abs().mean()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("widths", [(200, 100, 300), (100, 60, 140), (100,)])
def test_a_loop_has_no_step_wherever_it_is_rolled(grey_generator, mode, widths):
    photos = [textured(100, width) for width in widths]
    panorama = blend_sequence(grey_generator, photos, 120, loop=True, photo_mode=mode, feather=50).panorama
    steps = (panorama.roll(-1, dims=-1) - panorama).abs().mean(dim=(0, 1, 2))
    within = torch.cat([photo.diff(dim=-1).abs().mean(dim=(0, 1, 2)) for photo in photos]).median()
    # also where it wraps around: the last of the steps
    assert steps.max() <= 1.5 * within
    edges = torch.tensor([edge for start in range(len(widths)) for edge in (sum(widths[: start + 1]) + 120 * start, 0)])
    assert steps[edges - 1].mean() <= 1.25 * within


def test_photos_between_two_gaps_are_redrawn_once(grey_generator):
    """Where both ends reach, together they do what one would."""
    bright = torch.full((1, 3, 64, 64), 0.9)
    for width, spared in ((20, 0), (64, 0), (90, 0), (128, 0), (300, 170)):
        photos = [bright, bright[..., :1].expand(-1, -1, -1, width), bright]
        panorama = blend_sequence(grey_generator, photos, 16, photo_mode="redraw").panorama
        middle = panorama[0, 0, 32, 80 : 80 + width]
        torch.testing.assert_close(middle[0], torch.tensor(0.5), atol=2e-2, rtol=0)
        assert middle.min() > 0.5 - 1e-4
        assert int((middle > 0.9 - 1e-4).sum()) >= spared
        torch.testing.assert_close(middle, middle.flip(0), atol=1e-4, rtol=0)


def test_a_photo_may_lead_into_itself(generator):
    photo = textured(64, 100)
    panorama = blend_sequence(generator, [photo], 80, loop=True).panorama
    expected = blend(generator, photo, photo, 80).panorama[..., : 100 + 80]
    torch.testing.assert_close(panorama, expected, atol=1e-4, rtol=0)


def test_batches_and_lists_are_alike(generator):
    photos = torch.rand(3, 3, 40, 50)
    expected = blend_sequence(generator, photos).panorama
    assert torch.equal(blend_sequence(generator, list(photos.split(1))).panorama, expected)
    assert torch.equal(blend_sequence(generator, [photos[:2], photos[2:]]).panorama, expected)


def test_grey_and_transparent_photos_are_taken(generator):
    grey, transparent, colour = torch.rand(1, 1, 30, 40), torch.rand(1, 4, 30, 40), torch.rand(1, 3, 30, 40)
    panorama = blend_sequence(generator, [grey, transparent, colour], 10).panorama
    assert torch.equal(panorama[..., :40], grey.expand(-1, 3, -1, -1))
    assert torch.equal(panorama[..., 50:90], transparent[:, :3] * transparent[:, 3:])


@pytest.mark.parametrize(("width", "loop", "expected"), [(90, False, 6), (90, True, 8), (64, False, 4), (64, True, 4)])
def test_each_distinct_square_is_encoded_once(generator, monkeypatch, width, loop, expected):
    encoded = []
    encode = generator.encode
    monkeypatch.setattr(generator, "encode", lambda images: encoded.append(len(images)) or encode(images))
    blend_sequence(generator, torch.rand(4, 3, 64, width), 16, loop=loop)
    assert sum(encoded) == expected


def test_as_many_passes_of_the_encoder_as_photos_and_none_for_other_gaps(generator, monkeypatch):
    passes = []
    encode = generator.encode
    monkeypatch.setattr(generator, "encode", lambda images: passes.append(len(images)) or encode(images))
    made = blend_sequence(generator, torch.rand(5, 3, 16, 20), loop=True)
    assert passes == [2] * 5
    made.with_gap_width(10).with_gap_width(30)
    assert len(passes) == 5


def test_gaps_that_are_equally_wide_to_the_network_are_drawn_together(generator, monkeypatch):
    photos, gap_widths = torch.rand(6, 3, 64, 70), [64, 60, 130, 70, 64, 64]
    one_by_one = blend_sequence(generator, photos, gap_widths, loop=True, detail=0, batch_size=1)
    drawn = []
    generate = generator.generate
    monkeypatch.setattr(
        generator,
        "generate",
        lambda left, *rest, **options: drawn.append(len(left.transfer)) or generate(left, *rest, **options),
    )
    together = blend_sequence(generator, photos, gap_widths, loop=True, detail=0, batch_size=2)
    assert drawn == [2, 1, 2, 1]
    torch.testing.assert_close(together.panorama, one_by_one.panorama, atol=2e-5, rtol=0)

    drawn.clear()
    adjusted = together.with_gap_width(64, batch_size=4)
    assert drawn == [4, 1, 1]  # the widest gap's transfer goes farther
    fresh = blend_sequence(generator, photos, 64, loop=True, detail=0).panorama
    torch.testing.assert_close(adjusted.panorama, fresh, atol=2e-5, rtol=0)
    with pytest.raises(ValueError, match="batch_size is 0"):
        together.with_gap_width(64, batch_size=0)


def test_what_is_kept_does_not_grow_with_the_photos(generator):
    small, large = (blend_sequence(generator, torch.rand(3, 3, size, size + 10), detail=0) for size in (20, 300))
    assert small.num_kept_bytes == large.num_kept_bytes
    square = blend_sequence(generator, torch.rand(3, 3, 20, 20), detail=0)
    assert square.num_kept_bytes < small.num_kept_bytes  # both of its ends are encoded alike: it counts once


def test_progress_counts_photos_and_gaps_and_can_end_it(generator):
    seen = []
    photos = torch.rand(3, 3, 8, 8)
    blend_sequence(generator, photos, loop=True, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(number, 6) for number in range(1, 7)]

    def cancel(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        blend_sequence(generator, photos, on_progress=cancel)


def test_other_gap_widths_equal_a_fresh_blend(generator):
    photos = torch.rand(3, 3, 30, 40)
    # one by one: together, gaps are rounded otherwise, on which the detail's choice of sources can turn
    options = {"photo_mode": "feather", "feather": 9, "batch_size": 1}
    fresh = blend_sequence(generator, photos, [20, 50], **options)
    adjusted = blend_sequence(generator, photos, **options).with_gap_width([20, 50])
    assert torch.equal(adjusted.panorama, fresh.panorama)
    assert torch.equal(adjusted.gap_mask, fresh.gap_mask)
    assert fresh.with_gap_width(10).gap_mask.sum() == 2 * 10 * 30


@pytest.mark.parametrize("mode", MODES)
def test_down_is_the_same_turned(generator, mode):
    photos = [torch.rand(1, 3, *size) for size in ((50, 40), (30, 60), (20, 20))]
    options = {"gap_widths": [25, 13, 80], "loop": True, "photo_mode": mode, "feather": 20}
    right = blend_sequence(generator, photos, **options)
    down = blend_sequence(generator, [photo.mT for photo in photos], **options, direction="down")
    assert down.panorama.shape[-1] == 50
    torch.testing.assert_close(down.panorama, right.panorama.mT, atol=1e-4, rtol=0)
    assert torch.equal(down.gap_mask, right.gap_mask.mT)


@pytest.mark.parametrize(
    ("photos", "options", "message"),
    [
        ([], {}, "0 photos for a sequence; give at least 2"),
        ([], {"loop": True}, "0 photos for a sequence"),
        (torch.rand(1, 3, 16, 16), {}, "1 photos for a sequence; give at least 2, or 1 that leads"),
        (torch.rand(3, 3, 16, 16), {"gap_widths": [9]}, "1 gap widths for 2 gaps; give one for all, or one for each"),
        (torch.rand(3, 3, 16, 16), {"gap_widths": [9, 9], "loop": True}, "2 gap widths for 3 gaps"),
        (torch.rand(3, 3, 16, 16), {"gap_widths": [9, 3]}, "gap 2 is 3 px wide; between photos 16 px high"),
        (torch.rand(3, 3, 16, 16), {"gap_widths": 3}, "the gap is 3 px wide"),
        (torch.rand(2, 3, 16, 20), {"gap_widths": 3, "direction": "down"}, "3 px high; between photos 20 px wide"),
        (torch.rand(2, 3, 16, 16), {"direction": "up"}, "direction is 'up'; it is one of 'right', 'down'"),
        (torch.rand(2, 3, 16, 16), {"photo_mode": "kept"}, "photo_mode is 'kept'"),
        (torch.rand(2, 3, 16, 16), {"feather": -1}, "feather is -1 px"),
        ([torch.rand(1, 3, 9, 9), torch.rand(3, 9, 9)], {}, r"photo 2 is \(3, 9, 9\)"),
        ([torch.rand(2, 3, 9, 9), torch.full((1, 3, 9, 9), torch.nan)], {}, "photo 3 has 243 values that are NaN"),
        (torch.rand(0, 3, 9, 9), {"loop": True}, "photo 1 is empty"),
    ],
)
def test_bad_options_are_refused_by_name(generator, photos, options, message):
    with pytest.raises(ValueError, match=message):
        blend_sequence(generator, photos, **options)


def test_the_former_name_of_photo_mode_works_and_warns(generator):
    photos = [torch.rand(1, 3, 64, 80), torch.rand(1, 3, 64, 80)]
    with pytest.warns(DeprecationWarning, match="photos_mode is now called photo_mode; say photo_mode='redraw'"):
        former = blend_sequence(generator, photos, photos_mode="redraw").panorama
    assert torch.equal(former, blend_sequence(generator, photos, photo_mode="redraw").panorama)
