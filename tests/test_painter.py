import pytest
import torch

from wrb import blend, painter
from wrb.painter import without_fringe

FRINGE = 3
"""Width in px of the border that the network draws badly."""


def test_the_border_is_continued_from_within():
    gap = torch.rand(2, 3, 20, 30)
    drawn = without_fringe(gap)
    inner = (..., slice(FRINGE, -FRINGE), slice(FRINGE, -FRINGE))
    assert torch.equal(drawn[inner], gap[inner])
    assert torch.equal(drawn[..., 10, :FRINGE], gap[..., 10, FRINGE, None].expand(-1, -1, FRINGE))
    assert torch.equal(drawn[..., -1, 15], gap[..., -1 - FRINGE, 15])


def test_redrawing_passes_into_the_rest_of_the_photo_over_a_quarter_of_the_square(tiny_generator):
    """At 192 of 256 px from the gap all is redrawn, at 224 half, at 256 nothing."""
    left, right = 0.4 + 0.2 * torch.rand(1, 3, 256, 600), 0.4 + 0.2 * torch.rand(1, 3, 256, 256)
    panorama = blend(tiny_generator, left, right, photo_mode="redraw").panorama
    square = left[..., -256:]
    change = (panorama[..., 600 - 256 : 600] - square)[..., FRINGE:-FRINGE, :]
    full = (tiny_generator(square, right)[..., :256] - square)[..., FRINGE:-FRINGE, :]
    share = (change * full).sum(dim=(0, 1, 2)) / full.square().sum(dim=(0, 1, 2))
    distance = torch.arange(256, 0, -1) - 0.5
    expected = (0.5 + 0.5 * torch.cos(torch.pi * ((distance - 192) / 64).clamp(0, 1)))[FRINGE:-FRINGE]
    torch.testing.assert_close(share[FRINGE:-FRINGE], expected, atol=1e-3, rtol=0)


@pytest.fixture
def on_gpu(monkeypatch):
    """Gaps are filled as where the generator is on a GPU and the photos are not, though on the CPU too."""
    monkeypatch.setattr(painter, "faster_device", lambda generator, gap: torch.device("cpu"))


PAIRS = {
    "square": ((256, 256), (256, 256), {}),
    "wide photos, narrow gap": ((128, 700), (128, 500), {"gap_width": 40}),
    "narrow photos, wide gap": ((128, 60), (128, 90), {"gap_width": 500}),
    "down": ((300, 128), (200, 128), {"direction": "down", "gap_width": 150}),
    "redrawn": ((128, 300), (128, 128), {"photo_mode": "redraw"}),
    "without detail": ((128, 300), (128, 128), {"detail": 0}),
}


@pytest.mark.parametrize(("left", "right", "options"), PAIRS.values(), ids=PAIRS.keys())
def test_what_is_sent_to_a_gpu_is_enough_and_the_gap_comes_back(left, right, options, tiny_generator, request):
    left, right = torch.rand(1, 3, *left), torch.rand(1, 3, *right)
    expected = blend(tiny_generator, left, right, **options).panorama
    request.getfixturevalue("on_gpu")
    assert torch.equal(blend(tiny_generator, left, right, **options).panorama, expected)


@pytest.mark.usefixtures("on_gpu")
def test_a_gap_that_a_gpu_has_no_room_for_is_filled_beside_the_photos(tiny_generator, monkeypatch):
    left, right = torch.rand(1, 3, 128, 300), torch.rand(1, 3, 128, 128)
    expected = blend(tiny_generator, left, right).panorama
    add_detail, calls = painter.add_detail, []

    def without_room(*arguments, **keywords):
        add_detail(*arguments, **keywords)
        calls.append(keywords["out"])
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(painter, "add_detail", without_room)
    assert torch.equal(blend(tiny_generator, left, right).panorama, expected)
    assert len(calls) == 2


@pytest.mark.usefixtures("on_gpu")
def test_other_errors_on_a_gpu_are_told(tiny_generator, monkeypatch):
    def broken(*arguments, **keywords):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(painter, "add_detail", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        blend(tiny_generator, torch.rand(1, 3, 128, 128), torch.rand(1, 3, 128, 128))


def test_photos_stay_on_the_cpu_with_the_generator(tiny_generator):
    assert painter.faster_device(tiny_generator, torch.rand(1, 3, 128, 128)) is None
