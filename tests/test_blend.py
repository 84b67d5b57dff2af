import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import scenery
from wrb import DetailSettings, Generator, GeneratorConfig, blend, blend_sequence, load_generator
from wrb.blend import Pair
from wrb.painter import FRINGE

MODES = ("keep", "feather", "redraw")


@pytest.fixture(scope="module")
def generator(tiny_generator):
    return tiny_generator


def photo(height, width, batch=1):
    """Smooth, so that a step at a seam would stand out."""
    y, x = torch.meshgrid(torch.linspace(0, 3, height), torch.linspace(0, 3, width), indexing="ij")
    tint = torch.rand(batch, 3, 1, 1)
    return 0.5 + 0.2 * torch.sin(x + tint) + 0.2 * torch.cos(y * 1.7 + 4 * tint)


sizes = st.integers(1, 700)


@settings(max_examples=25, deadline=None)
@given(left_size=st.tuples(sizes, sizes), right_size=st.tuples(sizes, sizes), factor=st.floats(0.25, 8), data=st.data())
def test_any_sizes_and_gaps(generator, left_size, right_size, factor, data):
    height, left_width = left_size
    left, right = torch.rand(1, 3, *left_size), torch.rand(1, 3, *right_size)
    copies = left.clone(), right.clone()
    gap_width = min(8 * height, max(-(-height // 4), round(factor * height)))
    mode = data.draw(st.sampled_from(MODES))
    result = blend(generator, left, right, gap_width, photo_mode=mode, feather=data.draw(st.integers(0, 900)))

    right_width = max(1, round(right_size[1] * height / right_size[0]))
    assert result.panorama.shape == (1, 3, height, left_width + gap_width + right_width)
    assert torch.isfinite(result.panorama).all()
    assert 0 <= result.panorama.min() and result.panorama.max() <= 1
    expected_mask = torch.zeros(1, height, left_width + gap_width + right_width)
    expected_mask[..., left_width : left_width + gap_width] = 1
    assert torch.equal(result.gap_mask, expected_mask)
    assert torch.equal(left, copies[0]) and torch.equal(right, copies[1])
    if mode == "keep":
        assert torch.equal(result.panorama[..., :left_width], left)
        if right_size[0] == height:
            assert torch.equal(result.panorama[..., -right_width:], right)


@pytest.mark.parametrize("mode", MODES)
def test_mirrored_photos_have_the_mirrored_geometry(generator, mode):
    left, right = photo(50, 80), photo(50, 30)
    straight = blend(generator, left, right, 60, photo_mode=mode, feather=10)
    mirrored = blend(generator, right.flip(-1), left.flip(-1), 60, photo_mode=mode, feather=10)
    assert torch.equal(mirrored.gap_mask, straight.gap_mask.flip(-1))
    outside = straight.gap_mask.bool().logical_not()
    if mode == "keep":
        assert torch.equal(mirrored.panorama.flip(-1)[:, :, outside[0]], straight.panorama[:, :, outside[0]])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("height", [90, 256, 600])
def test_no_step_at_the_edges_of_the_gap(generator, mode, height):
    generator = copy.deepcopy(generator).requires_grad_(False)
    generator.decoder_stage0[0].weight.mul_(0.05)  # draws an almost even grey, far from the photos' brightness
    left, right = photo(height, 2 * height), photo(height, height)
    panorama = blend(generator, left, right, photo_mode=mode, feather=height // 4).panorama
    steps = panorama.diff(dim=-1).abs().mean(dim=(0, 1, 2))
    for edge in (2 * height - 1, 3 * height - 1):
        assert steps[edge] <= 1.25 * steps[height // 2 :].median() + 2 / 255


def test_redrawn_photos_are_the_networks_own_at_its_size(generator):
    left, right = torch.rand(1, 3, 256, 256), torch.rand(1, 3, 256, 256)
    panorama = blend(generator, left, right, 256, photo_mode="redraw").panorama
    redrawn = generator(left, right)
    for side in (slice(FRINGE, 256 - FRINGE), slice(-256 + FRINGE, -FRINGE)):
        inside = (..., slice(FRINGE, -FRINGE), side)
        torch.testing.assert_close(panorama[inside], redrawn[inside], atol=1e-5, rtol=0)


def test_feathering_ends_where_it_is_told(generator):
    left, right = torch.rand(1, 3, 128, 200), torch.rand(1, 3, 128, 200)
    panorama = blend(generator, left, right, 128, photo_mode="feather", feather=40).panorama
    assert torch.equal(panorama[..., :160], left[..., :160])
    assert not torch.equal(panorama[..., 160:200], left[..., 160:])
    assert torch.equal(panorama[..., -160:], right[..., 40:])


def test_feathering_over_nothing_keeps_the_photos(generator):
    left, right = torch.rand(1, 3, 64, 80), torch.rand(1, 3, 64, 80)
    feathered = blend(generator, left, right, photo_mode="feather", feather=0).panorama
    assert torch.equal(feathered, blend(generator, left, right, photo_mode="keep").panorama)


def test_redrawing_leaves_alone_what_the_network_does_not_see(generator):
    left, right = torch.rand(1, 3, 64, 300), torch.rand(1, 3, 64, 64)
    panorama = blend(generator, left, right, photo_mode="redraw").panorama
    assert torch.equal(panorama[..., :236], left[..., :236])


def test_another_gap_width_equals_a_fresh_blend_and_encodes_nothing(generator, monkeypatch):
    left, right = torch.rand(3, 3, 100, 120), torch.rand(3, 3, 90, 100)
    fresh = blend(generator, left, right, 222, photo_mode="feather", feather=20, batch_size=2)
    first = blend(generator, left, right, 50, photo_mode="feather", feather=20, batch_size=2)
    monkeypatch.setattr(generator, "encode", None)
    adjusted = first.with_gap_width(222, batch_size=2)
    assert torch.equal(adjusted.panorama, fresh.panorama)
    assert torch.equal(adjusted.gap_mask, fresh.gap_mask)


def test_each_of_a_batch_is_blended_as_if_alone(generator):
    left, right = torch.rand(3, 3, 70, 60), torch.rand(1, 3, 70, 60)
    # without detail, whose choice of sources turns on the network's smallest rounding; `test_detail` has its batches
    together = blend(generator, left, right, batch_size=2, detail=0).panorama
    for number in range(3):
        alone = blend(generator, left[number : number + 1], right, detail=0).panorama
        torch.testing.assert_close(together[number : number + 1], alone, atol=2e-5, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_down_is_the_same_turned(generator, mode):
    left, right = torch.rand(2, 3, 70, 60), torch.rand(1, 4, 35, 100)
    across = blend(generator, left, right, 40, photo_mode=mode, feather=30)
    pair = across.joinable
    assert isinstance(pair, Pair)
    # what is mirrored would stand on its head, and layers lie otherwise
    upright = replace(pair, painter=replace(pair.painter, direction="down"))
    across = replace(across, joinable=upright).with_gap_width(40)
    down = blend(generator, left.mT, right.mT, 40, photo_mode=mode, feather=30, direction="down")
    assert down.panorama.shape[-1] == 70
    torch.testing.assert_close(down.panorama, across.panorama.mT, atol=1e-5, rtol=0)
    assert torch.equal(down.gap_mask, across.gap_mask.mT)
    adjusted = down.with_gap_width(90).panorama
    torch.testing.assert_close(adjusted, across.with_gap_width(90).panorama.mT, atol=1e-5, rtol=0)


def test_progress_counts_every_pass_and_can_end_the_blend(generator):
    left, right = torch.rand(3, 3, 8, 8), torch.rand(3, 3, 8, 8)
    seen = []
    blend(generator, left, right, batch_size=2, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]

    def cancel(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        blend(generator, left, right, on_progress=cancel)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"photo_mode": "kept"}, "photo_mode is 'kept'; it is one of 'keep', 'feather', 'redraw'"),
        ({"feather": -1}, "feather is -1 px"),
        ({"detail": -0.1}, "detail is -0.1; it goes from 0"),
        ({"detail": float("nan")}, "detail is nan; it goes from 0"),
        ({"layers": -0.1}, "layers is -0.1; it goes from 0"),
        ({"layers": 1.5}, "layers is 1.5; it goes from 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"gap_width": 0}, "the gap is 0 px wide"),
        ({"gap_width": 9 * 16}, "16 px high it can be 4 to 128 px"),
        (
            {"gap_width": 3, "direction": "down"},
            "the gap is 3 px high; between photos 16 px wide it can be 4 to 128 px",
        ),
        ({"direction": "up"}, "direction is 'up'; it is one of 'right', 'down'"),
    ],
)
def test_bad_options_are_refused_by_name(generator, options, message):
    with pytest.raises(ValueError, match=message):
        blend(generator, torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16), **options)


def test_an_overflowing_network_is_an_error_not_a_black_gap():
    generator = Generator(GeneratorConfig(width=2)).eval().requires_grad_(False)
    generator.decoder_stage0[0].weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="overflows in torch.float32"):
        blend(generator, torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16))


def test_the_former_name_of_photo_mode_works_and_warns(generator):
    left, right = torch.rand(1, 3, 64, 80), torch.rand(1, 3, 64, 80)
    with pytest.warns(DeprecationWarning, match="photos is now called photo_mode; say photo_mode='redraw'"):
        former = blend(generator, left, right, photos="redraw").panorama
    assert torch.equal(former, blend(generator, left, right, photo_mode="redraw").panorama)


def test_settings_of_the_detail_are_handed_on_and_kept(generator):
    """Another gap of the same photos is made with them, too."""
    left, right = torch.rand(1, 3, 96, 96), torch.rand(1, 3, 96, 96)
    settings = DetailSettings(mirror_penalty=0, discontinuity_penalty=9)
    changed = blend(generator, left, right, detail_settings=settings)
    assert not torch.equal(changed.panorama, blend(generator, left, right).panorama)
    wider = blend(generator, left, right, 120, detail_settings=settings).panorama
    assert torch.equal(changed.with_gap_width(120).panorama, wider)


@pytest.fixture
def photos():
    return scenery.layers(96, 96, skyline=0.3), scenery.layers(96, 130, skyline=0.6)


class TestLayers:
    def test_photos_are_kept_bit_for_bit_and_the_gap_alone_changes(self, generator, photos):
        apart, met = (blend(generator, *photos, layers=layers) for layers in (0, 1))
        assert torch.equal(met.panorama[..., :96], photos[0])
        assert torch.equal(met.panorama[..., -130:], photos[1])
        assert (met.panorama - apart.panorama).abs().max() > 0.1

    def test_nothing_moves_without_detail(self, generator, photos):
        apart, met = (blend(generator, *photos, detail=0, layers=layers).panorama for layers in (0, 1))
        assert torch.equal(apart, met)

    def test_another_gap_of_the_same_photos_has_them_too(self, generator, photos):
        for layers in (0.0, 0.5):
            wider = blend(generator, *photos, 200, layers=layers).panorama
            assert torch.equal(blend(generator, *photos, 50, layers=layers).with_gap_width(200).panorama, wider)

    def test_every_gap_of_a_sequence_has_them_the_last_of_a_loop_too(self, generator, photos):
        apart, met = (blend_sequence(generator, photos, loop=True, layers=layers) for layers in (0, 1))
        gaps = zip(apart.layout.split(apart.panorama)[1], met.layout.split(met.panorama)[1], strict=True)
        assert all((one - other).abs().max() > 0.1 for one, other in gaps)

    def test_they_meet_with_any_weights(self, photos):
        """What is sky and what is land is told without the generator: an untrained one moves the same rows."""
        untrained = Generator(GeneratorConfig(width=2)).eval()
        for one in (untrained, load_generator()):
            gap = blend(one, *photos, 96).panorama[0, :, :, 96:192]
            skyline = (gap[2] - gap[0] > 0.1).sum(0) / 96
            assert 0.35 < float(skyline[40:56].mean()) < 0.55

    def test_photos_of_a_pixel_and_without_contrast_are_joined(self, generator):
        for left, right in ((torch.rand(1, 3, 1, 1), torch.ones(1, 3, 1, 1)), (torch.zeros(1, 3, 80, 1),) * 2):
            assert blend(generator, left, right).panorama.isfinite().all()


def test_gradients_are_not_recorded(generator):
    left = torch.rand(1, 3, 16, 16, requires_grad=True)
    assert not blend(generator, left, left).panorama.requires_grad
