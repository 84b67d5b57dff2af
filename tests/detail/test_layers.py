"""Which rows of two photos belong together."""

import pytest
import torch

from tests.scenery import layers
from wrb.detail import DetailSettings, add_detail
from wrb.detail.layers import Sketch, match_layers, plausible_landmarks, smooth_rows
from wrb.detail.segmentation import LAND, SKY, WATER

SETTINGS = DetailSettings()


def classes(sky_down_to, water_from=1.0, water_down_to=1.0, height=64):
    """What is told of a square whose layers are level."""
    row = (torch.arange(height) + 0.5) / height
    told = torch.full((3, height, height), 0.01)
    kind = torch.where(row < sky_down_to, SKY, torch.where((row < water_from) | (row >= water_down_to), LAND, WATER))
    return told.scatter(0, kind[None, :, None].expand(1, height, height), 0.98)


def skyline_of(gap):
    """In each column, as a share of the height: the sky is blue, the land is not."""
    return (gap[2] - gap[0] > 0.15).sum(0) / gap.shape[-2]


def highest_shift(row_map):
    return float((row_map.right_rows - row_map.left_rows).abs().max())


@pytest.mark.parametrize("width", [0.25, 1, 3, 8])
@pytest.mark.parametrize("heights", [(0.3, 0.6), (0.6, 0.3), (0.4, 0.5)])
def test_skylines_of_land_are_laid_on_each_other(width, heights):
    left, right = heights
    row_map = match_layers(classes(left), classes(right), width, SETTINGS)
    assert highest_shift(row_map) == pytest.approx(abs(left - right), abs=0.04)
    middle = row_map.left_rows.add(row_map.right_rows).div(2).sub((left + right) / 2).abs().argmin()
    assert float(row_map.left_rows[middle]) == pytest.approx(left, abs=0.04)
    assert float(row_map.right_rows[middle]) == pytest.approx(right, abs=0.04)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (classes(0.5), classes(0.5)),
        (classes(0.5, 0.5), classes(0.5, 0.5)),
        (classes(0.3, 0.3), classes(0.6, 0.6)),
        (classes(0.5, 0.5), classes(0.51, 0.51)),
        (classes(0), classes(0.5)),
        (classes(1), classes(0.5)),
        (classes(1), classes(1)),
        (classes(0.1), classes(0.9)),
        (torch.full((3, 64, 64), 1 / 3), classes(0.5)),
    ],
    ids=[
        *(
            "land alike",
            "sea alike",
            "seas at other heights",
            "seas nearly alike",
            "no sky",
            "sky alone",
            "sky on both",
        ),
        *("too far", "nothing told"),
    ],
)
def test_nothing_moves_where_nothing_is_sure_or_gained(left, right):
    assert match_layers(left, right, 1, SETTINGS) is None
    assert match_layers(right.flip(-1), left.flip(-1), 1, SETTINGS) is None


@pytest.mark.parametrize("width", [2, 4])
def test_the_land_comes_to_the_sea(width):
    """Nothing that shows the sea slopes: all of the moving is done in the half of the land."""
    row_map = match_layers(classes(0.4), classes(0.6, 0.6), width, SETTINGS)
    assert row_map.end <= 2 / 3
    mirrored = match_layers(classes(0.6, 0.6), classes(0.4), width, SETTINGS)
    assert mirrored.start == pytest.approx(1 - row_map.end)
    assert mirrored.end == pytest.approx(1 - row_map.start)
    torch.testing.assert_close(mirrored.left_rows, row_map.right_rows, atol=0.01, rtol=0)


def test_a_shore_below_stays_where_it_is_while_the_land_above_it_moves():
    row_map = match_layers(classes(0.3, 0.8), classes(0.5, 0.8), 1, SETTINGS)
    assert highest_shift(row_map) > 0.15
    at_shore = row_map.left_rows.sub(0.8).abs().argmin()
    assert float(row_map.right_rows[at_shore]) == pytest.approx(0.8, abs=0.02)


def test_swapped_and_mirrored_photos_give_the_mirrored_map():
    left, right = classes(0.35, 0.9), classes(0.55)
    row_map = match_layers(left, right, 1, SETTINGS)
    mirrored = match_layers(right.flip(-1), left.flip(-1), 1, SETTINGS)
    torch.testing.assert_close(mirrored.rows_shown(64, 64), row_map.rows_shown(64, 64).flip(0, -1), atol=1e-4, rtol=0)


def test_nothing_is_stretched_or_pressed_or_moved_more_than_the_settings_say():
    for left, right in ((0.2, 0.5), (0.15, 0.45), (0.5, 0.2)):
        for landmarks in plausible_landmarks(classes(left), classes(right), SETTINGS):
            rows = smooth_rows(landmarks, SETTINGS)
            stretch = rows[0].diff() / rows[1].diff()
            assert stretch.min() > 1 / SETTINGS.max_layer_stretch - 1e-4
            assert stretch.max() < SETTINGS.max_layer_stretch + 1e-4
            assert (rows[0] - rows[1]).abs().max() < SETTINGS.max_layer_shift


def test_a_sketch_costs_the_share_at_which_sky_meets_land():
    sketch = Sketch(classes(0.25), classes(0.75), 1)
    row_map = match_layers(classes(0.3), classes(0.6), 1, SETTINGS)
    clashes, slopes = sketch.costs([row_map.in_part(0), row_map], SETTINGS)
    assert float(clashes[0]) == pytest.approx(0.5, abs=0.04)
    assert float(slopes[0]) == pytest.approx(0, abs=1e-5)
    assert float(slopes[1]) > 0.01


class TestSettings:
    def test_the_gain_decides_whether_anything_moves(self):
        little = classes(0.5), classes(0.5625)
        assert match_layers(*little, 1, SETTINGS) is not None
        assert match_layers(*little, 1, DetailSettings(layer_gain=2 * SETTINGS.layer_gain)) is None
        less = classes(0.5), classes(0.53125)
        assert match_layers(*less, 1, SETTINGS) is None
        assert match_layers(*less, 1, DetailSettings(layer_gain=SETTINGS.layer_gain / 2)) is not None

    def test_photos_that_do_not_go_together_stay_as_they_lie(self):
        left, right = classes(0.3), classes(0.6)
        right[:, :16] = torch.tensor([0.01, 0.98, 0.01])[:, None, None]  # a roof of leaves
        told = [
            match_layers(left, right, 1, DetailSettings(max_layer_clash=factor * SETTINGS.max_layer_clash))
            for factor in (0.5, 1, 2)
        ]
        assert [row_map is None for row_map in told] == [True, True, False]

    @pytest.mark.parametrize("limit", ["max_layer_shift", "max_layer_stretch"])
    def test_a_limit_that_is_reached_keeps_everything_where_it_is(self, limit):
        assert match_layers(classes(0.3), classes(0.6), 1, SETTINGS) is not None
        limited = DetailSettings(**{limit: getattr(SETTINGS, limit) / 2})
        assert match_layers(classes(0.3), classes(0.6), 1, limited) is None

    @pytest.mark.parametrize(
        ("setting", "left", "right"),
        [
            ("slope_penalty", classes(0.3), classes(0.6)),
            ("water_slope_penalty", classes(0.3, 0.3), classes(0.6, 0.6)),
            ("shore_clash", classes(0.5), classes(0.5, 0.5)),
        ],
    )
    def test_a_penalty_counts_in_proportion_and_where_it_belongs(self, setting, left, right):
        row_map = match_layers(classes(0.3), classes(0.6), 1, SETTINGS)

        def costs(factor):
            changed = DetailSettings(**{setting: factor * getattr(SETTINGS, setting)})
            return [
                float(sum(Sketch(*photos, 1).costs([row_map], changed)))
                for photos in ((left, right), (classes(0, 0) if setting == "slope_penalty" else classes(1),) * 2)
            ]

        none, once, twice = costs(0), costs(1), costs(2)
        assert once[0] > none[0] + 0.01
        assert twice[0] - once[0] == pytest.approx(once[0] - none[0], rel=1e-3)
        assert once[1] == pytest.approx(none[1], abs=0.02)  # water is not meant, or water alone

    @pytest.mark.parametrize(
        ("setting", "halved", "doubled"),
        [
            ("water_slope_penalty", ((0.5, 0.8), (0.4, 0.4)), ((0.55, 0.7), (0.4, 0.4))),
            ("slope_penalty", ((0.3, 0.8), (0.45, 0.45)), ((0.25, 0.7), (0.5, 0.5))),
            ("shore_clash", ((0.55, 0.7), (0.25, 0.25)), ((0.45, 0.8), (0.55, 0.55))),
        ],
    )
    def test_a_penalty_decides_above_which_shores_land_is_moved(self, setting, halved, doubled):
        """Half of it moves a pair that stays as it lies, twice as much leaves one that moves."""
        for pair, factor, moves in ((halved, 0.5, False), (doubled, 2, True)):
            changed = DetailSettings(**{setting: factor * getattr(SETTINGS, setting)})
            photos = [classes(*heights) for heights in pair]
            assert (match_layers(*photos, 1, SETTINGS) is not None) == moves
            assert (match_layers(*photos, 1, changed) is not None) != moves

    @pytest.mark.parametrize(
        ("pair", "factor", "moves"), [(((0.35, 0.7), (0.65,)), 0.5, False), (((0.65,), (0.35, 0.8)), 2, True)]
    )
    def test_the_most_that_a_slope_costs_decides_what_meets_in_a_narrow_gap(self, pair, factor, moves):
        photos = [classes(*heights) for heights in pair]
        changed = DetailSettings(max_slope_cost=factor * SETTINGS.max_slope_cost)
        assert (match_layers(*photos, 0.25, SETTINGS) is not None) == moves
        assert (match_layers(*photos, 0.25, changed) is not None) != moves

    @pytest.mark.parametrize(("width", "moves"), [(0.8, False), (1, True), (1.7, True)])
    def test_a_part_of_a_gap_in_which_all_moves_is_wider_than_six_tenths_of_the_height(self, width, moves):
        """Two thirds of the gap are the widest part; only in a part does land move beside a sea."""
        photos = classes(0.4, 0.7), classes(0.5, 0.5)
        row_map = match_layers(*photos, width, SETTINGS)
        assert (row_map is not None and row_map.end <= 2 / 3) == moves

    def test_rows_are_smoothed_within_a_tenth_of_the_height_of_a_landmark(self):
        left_rows, _ = smooth_rows(((0.0, 0.0), (0.375, 0.625), (1.0, 1.0)), SETTINGS)
        bent = (left_rows.diff().diff().abs() > 1e-5).nonzero()[:, 0] + 1
        assert bent.tolist() == list(range(32 - 6, 32 + 6 + 1))


class TestOfPictures:
    def test_of_a_sharp_drawing_no_skyline_shows_beside_the_moved_one(self):
        left, right = layers(256, 256, skyline=0.3), layers(256, 256, skyline=0.6)
        drawn = torch.cat([left[..., -1:]] * 128 + [right[..., :1]] * 128, dim=-1)
        steps = []
        for cutoff in (SETTINGS.max_moved_cutoff, 8 * SETTINGS.max_moved_cutoff):
            gap = add_detail(drawn, left, right, 256, settings=DetailSettings(max_moved_cutoff=cutoff))[0]
            steps.append(float(skyline_of(gap).diff().abs().max()))
        assert steps[0] < 0.03 < steps[1]

    def test_of_colours_that_change_once_over_the_height_half_is_kept_where_rows_move(self):
        left, right = layers(256, 256, skyline=0.3), layers(256, 256, skyline=0.6)
        drawn = torch.cat([left[..., -1:]] * 128 + [right[..., :1]] * 128, dim=-1)
        wave = 0.03 * torch.sin(torch.arange(256) * 2 * torch.pi / 256)
        with_wave, against_it = (add_detail(drawn + sign * wave, left, right, 256)[0] for sign in (1, -1))
        kept = (with_wave - against_it).mean((0, 1)) @ wave / (2 * wave.square().sum())
        assert float(kept) == pytest.approx(0.5, abs=0.2)

    @pytest.mark.parametrize("width", [64, 256, 1024])
    def test_the_skyline_runs_from_one_photo_to_the_other_without_a_break(self, width):
        left, right = layers(256, 256, skyline=0.3), layers(256, 256, skyline=0.6)
        drawn = torch.cat([left[..., -1:]] * (width // 2) + [right[..., :1]] * (width // 2), dim=-1)
        gap = add_detail(drawn, left, right, width)[0]
        skyline = skyline_of(gap)
        assert (skyline.diff().abs() < max(0.03, 6 * 0.3 / width)).all()
        assert float(skyline[0]) == pytest.approx(0.3, abs=0.03)
        assert float(skyline[-1]) == pytest.approx(0.6, abs=0.03)
        apart = add_detail(drawn, left, right, width, layers=0)[0]
        assert skyline_of(apart).diff().abs().max() > 2 * skyline.diff().abs().max()

    def test_a_horizon_at_one_height_stays_within_a_pixel(self):
        left, right = (layers(256, 256, skyline=0.5, sea=True) for _ in range(2))
        drawn = left
        gap = add_detail(drawn, left, right, 256)[0]
        dark = gap.mean(0).diff(dim=0).abs().argmax(0)
        assert (dark - 127).abs().max() <= 1

    def test_photos_without_anything_in_them_break_nothing(self):
        for image in (
            torch.zeros(3, 256, 256),
            torch.ones(3, 256, 256),
            torch.rand(3, 256, 256),
            torch.rand(3, 256, 96),
        ):
            match_layers(image, image.flip(-1), 1, SETTINGS)

    def test_half_of_the_strength_moves_half_as_far(self):
        left, right = layers(256, 256, skyline=0.3), layers(256, 256, skyline=0.6)
        whole, half, none = (
            add_detail(left, left, right, 256, layers=strength)[0, 2].mean() for strength in (1, 0.5, 0)
        )
        assert len({round(float(value), 5) for value in (whole, half, none)}) == 3
