import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from tests.scenery import scenery
from wrb.detail import DetailSettings, add_detail, pipeline
from wrb.detail.correspondence import find_correspondence
from wrb.detail.pipeline import num_photo_cells
from wrb.detail.segmentation import Segmentation
from wrb.geometry import context
from wrb.resampling import reflect, resize


def drawn(width, height):
    """What a soft network draws for a gap of that size: (1 3 256 w)."""
    columns = max(1, round(width * 4 / height))
    return F.interpolate(scenery(8, 8), (256, 64 * columns), mode="bicubic").clamp(0, 1)


def octaves(image):
    """Energy in the finest octaves down the columns and along the rows, (3)."""
    energies = []
    for _ in range(3):
        coarse = F.avg_pool2d(image, 2)
        energies.append(image.square().mean() - coarse.square().mean())
        image = coarse
    return torch.stack(energies)


def test_without_strength_it_is_the_resized_gap():
    gap, left, right = drawn(300, 400), scenery(400, 500), scenery(400, 200)
    assert torch.equal(add_detail(gap, left, right, 300, 0), resize(gap, 400, 300))


def test_strength_mixes():
    gap, left, right = drawn(300, 400), scenery(400, 500), scenery(400, 400)
    plain, half, full = (add_detail(gap, left, right, 300, strength) for strength in (0, 0.5, 1))
    torch.testing.assert_close(half, (plain + full) / 2)


@pytest.mark.parametrize("height", [256, 500])
def test_the_gap_becomes_as_sharp_as_the_photos(height):
    gap, left, right = drawn(height, height), scenery(height, height), scenery(height, height)
    truth = octaves(torch.cat([left, right], dim=-1))
    plain = 10 * (octaves(add_detail(gap, left, right, height, 0)) / truth).log10()
    detailed = 10 * (octaves(add_detail(gap, left, right, height)) / truth).log10()
    assert (plain[:2] < -8).all()
    assert (detailed[:2].abs() < 2).all()


def test_the_networks_colours_stay():
    """Between grey photos, a gap that the network draws red in its middle is as red."""
    left, right = scenery(512, 512), scenery(512, 512)
    red = 0.3 * torch.sin(torch.linspace(0, torch.pi, 512)).square()
    gap = torch.full((1, 3, 256, 512), 0.5)
    gap[:, 0] += red
    detailed = add_detail(gap, left, right, 1024)
    redness = (detailed[:, 0] - detailed[:, 1]).mean(dim=(0, 1))
    assert (F.avg_pool1d(redness[None], 2)[0] - red).abs().mean() < 0.03


def test_what_the_network_draws_sharply_stays():
    """A gap as rich as the photos is followed far beyond its colours; a soft one is not, and need not be."""
    left, gap, right = scenery(256, 768).chunk(3, dim=-1)
    soft = F.interpolate(F.avg_pool2d(gap, 32), (256, 256), mode="bicubic")
    errors = [F.avg_pool2d(add_detail(drawn, left, right, 256) - gap, 8).abs().mean() for drawn in (gap, soft)]
    assert errors[0] < 0.01 < 0.02 < errors[1]


def test_light_that_falls_towards_an_edge_goes_on_falling():
    """Mirrored, it would rise again at once: a dark line in a sky."""
    falling = torch.linspace(0.8, 0.5, 256).expand(1, 3, 256, 256)
    plain = torch.full((1, 3, 256, 256), 0.5)
    beside = add_detail(plain, falling, falling.flip(-1), 256)[0, 0].mean(0)
    for gap in (beside, beside.flip(0)):
        assert (gap[1:24] < gap[0]).all()
        assert 0.4 < gap.min()


@pytest.mark.parametrize("grey", [0.0, 0.4])
def test_constant_photos_add_nothing(grey):
    photo, gap = torch.full((1, 3, 300, 300), grey), torch.full((1, 3, 256, 256), grey)
    torch.testing.assert_close(add_detail(gap, photo, photo, 300), photo, atol=1e-5, rtol=0)


def test_the_gap_continues_the_photos():
    """Far closer at its edges than pixels of a photo that are some way apart."""
    left, right = scenery(512, 512), scenery(512, 512)
    detailed = add_detail(drawn(512, 512), left, right, 512)
    step = torch.cat([detailed[..., 0] - left[..., -1], detailed[..., -1] - right[..., 0]]).abs().mean()
    assert step < 1.5 * left.diff(dim=-1).abs().mean()


def test_stripes_go_on():
    """Sources are chosen so that structures of the photos cross the gap where the network has but their mean."""
    stripes = 0.5 + 0.3 * torch.sin(torch.arange(512) * torch.pi / 16)[:, None].expand(1, 3, 512, 512)
    detailed = add_detail(torch.full((1, 3, 256, 256), 0.5), stripes, stripes, 512)
    assert (detailed - stripes).abs().mean() < 0.05


def test_a_batch_is_its_pairs_one_by_one():
    pairs = [(drawn(200, 300), scenery(300, 250), scenery(300, 400)) for _ in range(2)]
    gap, left, right = (torch.cat(images) for images in zip(*pairs, strict=True))
    batch = add_detail(gap, left, right, 200)
    assert torch.equal(batch, torch.cat([add_detail(*pair, 200) for pair in pairs]))


def test_the_random_state_stays_as_it_is():
    gap, left, right = drawn(256, 256), scenery(256, 256), scenery(256, 256)
    state = torch.get_rng_state()
    inputs = [image.clone() for image in (gap, left, right)]
    add_detail(gap, left, right, 256)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(image, before) for image, before in zip((gap, left, right), inputs, strict=True))


@pytest.mark.parametrize(
    ("height", "left_width", "width", "right_width"),
    [
        (64, 64, 16, 64),
        (65, 1, 17, 3),
        (100, 30, 800, 1000),
        (255, 90, 77, 256),
        (257, 600, 2056, 100),
        (333, 333, 333, 12),
        (720, 240, 481, 240),
    ],
)
def test_any_sizes(height, left_width, width, right_width):
    gap = drawn(width, height)
    detailed = add_detail(gap, scenery(height, left_width), scenery(height, right_width), width)
    assert detailed.shape == (1, 3, height, width)
    assert detailed.isfinite().all()
    assert -0.5 < detailed.min() and detailed.max() < 1.5


def test_low_photos_have_no_detail():
    gap, photo = drawn(40, 63), scenery(63, 63)
    assert torch.equal(add_detail(gap, photo, photo, 40), resize(gap, 63, 40))


@pytest.mark.parametrize("width", [300, 450, 310, 100])
def test_squares_at_hand_need_not_be_scaled_again(width):
    """What the network saw of the photos changes nothing; photos narrower than high are shown to it reflected."""
    for left_width, right_width in ((300, 300), (700, 400), (200, 300)):
        gap, left, right = drawn(width, 300), scenery(300, left_width), scenery(300, right_width)
        squares = context(left).upright_image, context(right, mirrored=True).upright_image
        expected = add_detail(gap, left, right, width)
        torch.testing.assert_close(add_detail(gap, left, right, width, squares=squares), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("height", "strength"), [(300, 0.0), (300, 0.5), (300, 1.0), (40, 1.0)])
def test_it_writes_where_it_is_told_to(height, strength):
    gap, left, right = drawn(height, height), scenery(height, height), scenery(height, height)
    panorama = torch.zeros(1, 3, height, 3 * height)
    middle = panorama[..., height:-height]
    assert add_detail(gap, left, right, height, strength, out=middle) is middle
    assert torch.equal(middle, add_detail(gap, left, right, height, strength))
    assert not panorama[..., :height].any() and not panorama[..., -height:].any()


def test_sides_are_views_or_whole_photos():
    """`fill_gap` passes parts of the panorama; if the gap is no wider, only the squares next to it count."""
    gap, left, right = drawn(300, 300), scenery(300, 700), scenery(300, 900)
    squares = add_detail(gap, left[..., -300:].contiguous(), right[..., :300].contiguous(), 300)
    assert torch.equal(add_detail(gap, left, right, 300), squares)


def test_a_wide_gap_takes_from_as_much_of_the_photos():
    gap, left, right = drawn(600, 300), scenery(300, 700), scenery(300, 900)
    wide = add_detail(gap, left[..., -600:].contiguous(), right[..., :600].contiguous(), 600)
    assert torch.equal(add_detail(gap, left, right, 600), wide)
    squares = add_detail(gap, left[..., -300:].contiguous(), right[..., :300].contiguous(), 600)
    assert (squares - wide).abs().mean() > 0.01


@pytest.mark.parametrize(("width", "cells"), [(1, 6), (100, 6), (112, 7), (240, 15), (256, 16), (700, 16)])
def test_of_a_photo_at_least_six_cells_are_used_and_at_most_as_much_as_the_gap_is_wide_or_high(width, cells):
    """A cell is 16 px here; narrower photos are reflected."""
    assert num_photo_cells(width, 256, 16, DetailSettings()) == cells


def test_settings_are_handed_in():
    gap, left, right = drawn(256, 256), scenery(256, 256), scenery(256, 256)
    default = add_detail(gap, left, right, 256)
    assert torch.equal(add_detail(gap, left, right, 256, settings=DetailSettings()), default)
    changed = add_detail(gap, left, right, 256, settings=DetailSettings(discontinuity_penalty=8, reuse_penalty=0))
    assert (changed - default).abs().mean() > 0.01


MEASURE_MEMORY = """
import resource, sys, torch
from wrb.detail import add_detail
height, width = map(int, sys.argv[1:])
photo, gap = torch.rand(1, 3, height, height), torch.rand(1, 3, 256, 256 * width // height)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
add_detail(gap, photo, photo, width)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_memory_is_in_proportion_to_the_gap():
    """At its peak it is not even three times the panorama's: nothing compares all pixels with all."""
    command = [sys.executable, "-c", MEASURE_MEMORY, "1024", "8192"]
    kilobytes = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    panorama = 3 * 4 * 1024 * (1024 + 8192 + 1024)
    assert kilobytes * 1024 < 3 * panorama


@pytest.mark.parametrize(("reaching", "laid"), [(False, False), (True, True)])
def test_a_thing_is_a_source_only_as_its_mirror_at_the_edge(monkeypatch, reaching, laid):
    """A red block in the left photo, which the network asks for in the gap."""
    found = []

    def told(photos):
        things = F.avg_pool2d((photos[:, :1] - photos[:, 1:2] > 0.8).float(), 4)[:, 0]
        return Segmentation(torch.full((len(photos), 3, *things.shape[1:]), 1 / 3), things)

    def find(*arguments, **options):
        found.append(find_correspondence(*arguments, **options))
        return found[-1]

    monkeypatch.setattr(pipeline, "segment", told)
    monkeypatch.setattr(pipeline, "find_correspondence", find)
    left, right = scenery(256, 256) * 0.5, scenery(256, 256) * 0.5
    columns = torch.zeros(256, dtype=torch.bool)
    columns[slice(216, 256) if reaching else slice(60, 100)] = True
    left[..., 100:140, columns] = torch.tensor([1.0, 0, 0])[:, None, None]
    for penalty in (0.0, DetailSettings().thing_penalty):
        add_detail(left.flip(-1), left, right, 256, layers=0, settings=DetailSettings(thing_penalty=penalty))
    for correspondence, expected in zip(found, (True, laid), strict=True):
        place = reflect(64 + torch.arange(64) + correspondence.offset, 64)
        of_thing = (columns[::4][place] & ~correspondence.in_right)[25:35]
        assert (of_thing.float().mean() > 0.05) == expected
        if reaching:
            assert (correspondence.offset[of_thing.nonzero(as_tuple=True)[0] + 25, of_thing.nonzero()[:, 1]] == 0).all()
