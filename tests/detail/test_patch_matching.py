from dataclasses import replace

import pytest
import torch

from tests.scenery import scenery
from wrb.detail import DetailSettings
from wrb.detail.patch_matching import PatchMatching, aggregate_costs, assign_sources
from wrb.detail.sources import SourceStrip, with_mirrors

SETTINGS = DetailSettings()


def patches(left, right, width, **options):
    return PatchMatching(SourceStrip(left, right, width), 1, SETTINGS, **options)


def test_semi_global_matching_follows_the_path_of_least_cost():
    """On one row of patches, the summed paths are least where the whole row's cost is."""
    costs = torch.rand(1, 5, 7)
    joint = aggregate_costs(costs, 1)[0]
    best = torch.full((5, 7), torch.inf)
    for sources in torch.cartesian_prod(*[torch.arange(7)] * 5):
        total = costs[0, torch.arange(5), sources].sum() + (sources.diff() != 1).sum()
        for patch, source in enumerate(sources):
            best[patch, source] = torch.minimum(best[patch, source], total)
    # up to what is the same for all sources of a patch; columns of one patch add nothing
    torch.testing.assert_close(joint - joint.amin(1, keepdim=True), best - best.amin(1, keepdim=True))


def test_a_patch_continues_the_one_above_by_the_same_source():
    costs = torch.rand(4, 1, 6)
    joint = aggregate_costs(costs, 1)[:, 0]
    best = torch.full((4, 6), torch.inf)
    for sources in torch.cartesian_prod(*[torch.arange(6)] * 4):
        total = costs[torch.arange(4), 0, sources].sum() + (sources.diff() != 0).sum()
        for patch, source in enumerate(sources):
            best[patch, source] = torch.minimum(best[patch, source], total)
    torch.testing.assert_close(joint - joint.amin(1, keepdim=True), best - best.amin(1, keepdim=True))


def test_sources_are_not_repeated_without_need():
    costs = torch.zeros(2, 6, 12)
    costs[0, :, 3] = -0.2
    costs[1, :, 7] = -0.2
    chosen = assign_sources(costs, 1, torch.arange(12), SETTINGS).tolist()
    assert chosen[0][:3] == [3, 4, 5]  # the first takes the best, and is followed
    assert chosen[1][:3] == [7, 8, 9]
    assert chosen[0].count(3) == 1 and chosen[1].count(7) == 1


def test_what_is_seen_is_not_repeated_mirrored_either():
    shown = with_mirrors(torch.arange(4), torch.arange(4, 8))
    costs = torch.rand(3, 8, len(shown)) / 10
    for row in shown[assign_sources(costs, 1, shown, replace(SETTINGS, continuation_bonus=0.0))]:
        assert sorted(row.tolist()) == list(range(8))


def test_matches_are_the_sources_of_what_was_cut_out():
    """A gap cut from the left photo finds its place again."""
    left, right = scenery(32, 64)[0], scenery(32, 32)[0]
    matching = patches(left, right, 24)
    matched = matching.match(left[..., 16:40])
    inside = (slice(None), slice(4, -4))  # patches away from the edges, where the nearer photo is preferred
    assert matched.shape == (16 - 2, 12 + 2)
    assert (matched[inside] == 16 - 64).all()
    torch.testing.assert_close(matching.vote(matched)[..., 8:-8], left[..., 24:32])


def test_pieces_of_the_photos_are_also_turned_left_to_right():
    """A gap cut from the right photo's mirror finds its place, far from where that would be a mirror at the edge."""
    left, right = scenery(32, 32)[0], scenery(32, 64)[0]
    matching = patches(left, right, 24)
    mirrored = right.flip(-1)[..., 16:40]
    matched = matching.match(mirrored)
    inside = (slice(None), slice(4, -4))
    assert (matched[inside] == 32 + 16).all()
    torch.testing.assert_close(matching.vote(matched)[..., 8:-8], mirrored[..., 8:-8])


def test_nothing_is_mirrored_where_it_must_not_be():
    left, right = scenery(32, 32)[0], scenery(32, 64)[0]
    matching = patches(left, right, 16, allow_mirrored=False)
    source = matching.columns + matching.match(right.flip(-1)[..., 8:24])
    assert ((source + matching.size <= 32) | (source >= 2 * 32 + 64)).all()


def test_a_mirror_at_the_edge_is_no_match():
    """Though nothing else shows what the gap does."""
    left, right = scenery(32, 32)[0], scenery(32, 32)[0]
    matching = patches(left, right, 16)
    matched = matching.match(left.flip(-1)[..., :16])
    mirrored = matching.columns + matched >= 32
    assert mirrored.any()
    assert (matched[mirrored].abs() > 4 * matching.cell).all()


def test_a_source_and_its_mirror_show_the_same_columns():
    left, right = torch.rand(3, 32, 20), torch.rand(3, 32, 14)
    matching = patches(left, right, 16)
    photos = torch.cat([left, right], dim=-1)
    for start, shown in zip(matching.sources.tolist(), matching.first_shown.tolist(), strict=True):
        if not any(start < joint < start + matching.size for joint in matching.strip.joints):
            patch = matching.image[..., start : start + matching.size]
            original = photos[..., shown : shown + matching.size]
            assert torch.equal(patch, original) or torch.equal(patch, original.flip(-1))


def test_the_farther_photo_is_no_choice_at_an_edge():
    """Both photos hold what the gap shows, so it alone decides which one is taken where."""
    photo = scenery(32, 64)[0]
    matching = patches(photo, photo, 32)
    matched = matching.match(photo[..., :32])
    in_right = matching.columns + matched >= 2 * 64
    num_near = 2  # whose middle is less than three cells from the edge, outside of it or in it
    assert not in_right[:, :num_near].any()
    assert in_right[:, -num_near:].all()


def test_mirrors_go_on_from_photos_without_a_step():
    left, right = torch.rand(3, 4, 9), torch.rand(3, 4, 5)
    strip = with_mirrors(left, right)
    assert strip.shape == (3, 4, 28)
    torch.testing.assert_close(strip[..., :18], torch.cat([left, left.flip(-1)], dim=-1))
    torch.testing.assert_close(strip[..., 18:], torch.cat([right.flip(-1), right], dim=-1))


def black(height, width):
    """A photo that differs from nothing, so that penalties are all that its sources cost."""
    return torch.zeros(3, height, width)


def test_a_cell_is_a_sixteenth_of_the_height():
    for height in (32, 64):
        assert patches(black(height, 2 * height), black(height, 2 * height), height).cell == height // 16


def test_another_offset_is_worth_four_variances_of_the_photos_patches():
    """Whatever the photos' contrast: a patch changes its offset where the next one differs by more than that."""
    for contrast in (0.1, 1.0):
        left, right = contrast * torch.rand(2, 3, 32, 64)
        matching = patches(left, right, 32)
        variance = torch.stack([left, right]).unfold(-2, 6, 1).unfold(-2, 6, 1).flatten(-2).var(-1, correction=0).mean()
        assert matching.unit == pytest.approx(4 * 3 * 6 * 6 * variance.item(), rel=1e-4)


@pytest.mark.parametrize(("gain", "used_twice"), [(0.2, False), (0.4, True)])
def test_a_source_is_used_again_where_it_is_better_by_more_than_three_tenths(gain, used_twice):
    costs = torch.zeros(1, 2, 12)
    costs[..., 3] = -gain
    first, second = assign_sources(costs, 1, torch.arange(12), SETTINGS)[0].tolist()
    assert (first == second == 3) == used_twice


@pytest.mark.parametrize(("gain", "continues"), [(0.4, True), (0.6, False)])
def test_what_is_laid_beside_goes_on_where_another_source_gains_less_than_half_of_that(gain, continues):
    costs = torch.zeros(1, 3, 12)
    costs[0, 0, 3] = costs[0, 2, 11] = -5
    costs[0, 1, 7] = -gain
    assert assign_sources(costs, 1, torch.arange(12), SETTINGS)[0, 1] == (4 if continues else 7)


def test_photos_count_ten_times_beside_the_gap():
    matching = patches(torch.rand(3, 32, 64), torch.rand(3, 32, 64), 16)
    assert matching.column_weights[0].tolist() == [10.0] * 4 + [1.0] * 2
    assert (matching.column_weights[3:-3] == 1).all()


def test_the_farther_photo_costs_five_at_the_edge_and_nothing_from_three_cells_on():
    """Of patches by their middle; at the right edge it is the left photo."""
    matching = patches(black(32, 64), black(32, 64), 32)
    in_left, in_right = matching.fixed_costs[0, :, 0], matching.fixed_costs[0, :, -1]
    expected = torch.tensor([5, 5, 5 * 2.5 / 3, 5 * 1.5 / 3, 5 * 0.5 / 3, *[0] * 13])
    middles = matching.columns + 3 - 64  # in px into the gap; a cell is 2 px
    assert middles[:5].tolist() == [-1, 1, 3, 5, 7]
    expected = 5 * (1 - middles / 6).clamp(0, 1)
    torch.testing.assert_close(in_right, expected)
    torch.testing.assert_close(in_left, expected.flip(0))


def test_a_mirror_costs_one_where_one_at_the_edge_would_be_and_nothing_from_eight_cells_on():
    matching = patches(black(32, 64), black(32, 64), 64)
    patch = len(matching.columns) // 2  # far from both edges
    at_edge = int(matching.columns[patch])
    mirrored = matching.fixed_costs[0, patch, 64 : 128 - 5]
    aside = (torch.arange(64, 128 - 5) - at_edge).abs() / 2  # in cells of 2 px
    torch.testing.assert_close(mirrored, (1 - aside / 8).clamp(min=0))
    assert mirrored.max() == 1 and mirrored.min() == 0


def with_things(apart, reaching):
    """Patches of a gap as wide as its black photos, with a thing in columns (start, end) of the left one."""
    things = torch.zeros(2, 32, 64)
    for kind, columns in enumerate((apart, reaching)):
        things[kind, :, slice(*columns)] = 1
    return PatchMatching(SourceStrip(black(32, 64), black(32, 64), 64, things), 1, SETTINGS)


def test_a_thing_apart_from_the_gap_costs_thirty_for_its_share_of_a_patch():
    matching = with_things((20, 26), (0, 0))
    costs = matching.fixed_costs[:, len(matching.columns) // 2]
    for start, share in ((14, 0), (17, 0.5), (20, 1), (23, 0.5), (128 - 26, 1)):  # the last in the mirror
        without_thing = patches(black(32, 64), black(32, 64), 64).fixed_costs[:, len(matching.columns) // 2, start]
        torch.testing.assert_close(costs[:, start] - without_thing, torch.full((14,), 30.0 * share))


def test_a_thing_that_reaches_the_gap_is_a_source_as_its_mirror_at_the_edge_alone():
    matching, without_thing = with_things((0, 0), (58, 64)), patches(black(32, 64), black(32, 64), 64)
    patch = 3
    more = (matching.fixed_costs - without_thing.fixed_costs)[0, patch, 64:70]
    at_edge = torch.arange(64, 70) == matching.columns[patch]
    assert at_edge.any()
    assert (more[at_edge] == 0).all() and (more[~at_edge] > 0).all()
