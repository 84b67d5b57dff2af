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
    for row in shown[assign_sources(costs, 1, shown, SETTINGS)]:
        assert sorted(row.tolist()) == list(range(8))


def test_matches_are_the_sources_of_what_was_cut_out():
    """A gap cut from the left photo finds its place again."""
    left, right = scenery(32, 64)[0], scenery(32, 32)[0]
    matching = patches(left, right, 16)
    matched = matching.match(left[..., 24:40])
    inside = (slice(None), slice(3, -3))  # patches away from the edges, where the nearer photo is preferred
    assert matched.shape == (16 - 2, 8 + 2)
    assert (matched[inside] == 24 - 64).all()
    torch.testing.assert_close(matching.vote(matched)[..., 6:-6], left[..., 30:34])


def test_pieces_of_the_photos_are_also_turned_left_to_right():
    """A gap cut from the right photo's mirror finds its place, far from where that would be a mirror at the edge."""
    left, right = scenery(32, 32)[0], scenery(32, 64)[0]
    matching = patches(left, right, 16)
    mirrored = right.flip(-1)[..., 8:24]
    matched = matching.match(mirrored)
    inside = (slice(None), slice(3, -3))
    assert (matched[inside] == 32 + 8).all()
    torch.testing.assert_close(matching.vote(matched)[..., 6:-6], mirrored[..., 6:-6])


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
