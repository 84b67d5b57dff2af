"""Every number that the gap's detail depends on: what it is, in which unit, and what more or less of it does.

`scripts/mutate_settings.py` doubles and halves each and tells which tests notice and how much of the picture changes;
`scripts/sweep_settings.py` measures panoramas at several values. docs/experiments.md has what was tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

DIVISORS = (
    *("base_cutoff", "trusted_energy", "discontinuity_penalty", "far_photo_reach", "mirror_reach"),
    *("dissolve_width", "tolerated_fault", "slope_length", "slope_cutoff", "max_layer_stretch"),
)
"""Settings that something is divided by."""


class PyramidLevel(NamedTuple):
    """A scale at which patches are matched."""

    height: int
    """Of the gap and the photos in px."""

    patch_margin: int
    """By how many cells a patch reaches beyond its own on every side: it is 2·patch_margin + 1 cells wide and high."""


@dataclass(frozen=True, kw_only=True)
class DetailSettings:
    """How the gap is laid with pieces of the photos. Lengths are shares of the gap's height, or cells.

    Costs of matching are in units of `discontinuity_penalty`; costs of cutting are for one pixel at the finest level,
    in mean variances of the photos' patches, so that flat and busy photos are treated alike.

    Raises:
        ValueError: if a value is out of its range.
    """

    # The grid

    num_cell_rows: int = 16
    """Rows of cells in the gap. A cell, about as wide as high, is the step by which patches move. With more, pieces are
    smaller and ridges have more steps; with fewer, nothing fits."""

    pyramid: tuple[PyramidLevel, ...] = (PyramidLevel(16, 2), PyramidLevel(32, 2), PyramidLevel(64, 1))
    """From the coarsest level to the finest, at which offsets are told. Each height is a multiple of the one before and
    of `num_cell_rows`. Without a fine level, what is placed rightly in the large does not fit in the small; without a
    coarse one, layers of the landscape are matched wrongly."""

    min_photo_cells: int = 6
    """A narrower photo is continued by reflection to so many cells, so that there is some choice and a whole patch."""

    # Guidance by the network, in cycles over the height

    base_cutoff: float = 0.5
    """Cut-off frequency up to which the colours of even the weakest network are kept. With more of it, colours of a
    weak network lie as haze over the pieces; with less, the gap forgets what was drawn."""

    trusted_energy: float = 0.5
    """Share of the photos' energy that the network's drawing must have in an octave, for this octave of it to be kept
    as well; with less energy it counts in part, by the square. Lower values trust soft drawings farther."""

    guidance_factor: float = 2.0
    """How many times farther the drawing guides the matching than its colours are kept. Colours that were kept as far
    would be smoke over mountains where the network has drawn the sky dark."""

    max_guidance_cutoff: float = 16.0
    """Cut-off frequency up to which the best network guides the matching: beyond, smooth patches would match best."""

    # Matching patches

    discontinuity_penalty: float = 4.0
    """Cost of a patch that does not continue its neighbour's offset, in mean variances of the photos' patches. With
    more, pieces are larger, fewer, and fit the drawing less."""

    reuse_penalty: float = 0.3
    """Cost of a source that is laid already elsewhere in the same row of patches, mirrored or not. With more, fewer
    things stand in the gap twice, and more ridges have steps."""

    continuation_bonus: float = 0.5
    """Gain of a patch that continues what is laid beside it already, on the way from both ends to the middle. It keeps
    the reuse penalty from cutting pieces short."""

    photo_edge_weight: float = 10.0
    """How many times a photo's pixel beside the gap counts, compared with the gap's own. With less, the gap does not go
    on from the photos."""

    far_photo_penalty: float = 5.0
    """Cost of a source in the farther photo at a photo's edge, for matching and for cutting. With less, both photos
    show there for a while, and of the nearer one nothing but its mirror."""

    far_photo_reach: float = 3.0
    """From the edge on, that penalty falls to nothing over so many cells."""

    mirror_penalty: float = 1.0
    """Cost of a mirrored source that lies where a mirror at the gap's edge would show it. With less, the gap is its
    photos' reflection."""

    mirror_reach: float = 8.0
    """That penalty falls to nothing over so many cells from there: a thing is seen again less easily turned left to
    right and well aside. With less, two thirds of a gap are mirrored."""

    # Things, which are whole or not there

    thing_threshold: float = 0.5
    """How likely a place has to belong to a thing to be taken for one. With less, rocks and bushes of a slope are
    things, and the gap has little to be laid of; with more, parts of things are left."""

    thing_margin: int = 1
    """So many px around things, at 64 px of the height, count as well: the network sees them a little too small."""

    thing_penalty: float = 30.0
    """Cost of a source that is a thing, for matching and for cutting. With less, pieces of things are seen."""

    # Cutting pieces to each other

    num_candidates: int = 4
    """Offsets of the nearest cells among which a pixel chooses, beside the mirror of the nearer photo. With more,
    pieces fray; with fewer, cuts are straight."""

    misfit_weight: float = 0.1
    """Weight of how a pixel differs from the mean of the patches matched there, compared with how both sides of a cut
    differ. With more, cuts follow the matching; with less, they run wherever they do not show."""

    cut_penalty: float = 4.0
    """Cost of a cut between two pixels that look the same. With more, borders are straighter and pieces fewer."""

    edge_mirror_penalty: float = 0.1
    """Cost of the mirror at the gap's edge for every cell of distance from that edge. The mirror alone goes on from a
    photo without a step, and so leads to where another source fits. With more, steps show at the edge; with less,
    reflections."""

    textured_mirror_penalty: float = 10.0
    """Cost of that mirror within texture, where one sees faces in it, and where a step does not show."""

    num_refinements: int = 1
    """Sweeps of iterated conditional modes (Besag, 1986) over the chosen offsets. Without, crumbs are left between
    pieces; more changes little."""

    # Dissolving one photo into the other

    dissolve_width: float = 0.25
    """How far on each side of a cut between the two photos they dissolve into each other, as a share of the height; at
    both ends of the gap no farther than the narrowest gap allows. With less, borders show; with more, both photos are
    seen through each other."""

    # Reflections in gaps that run down

    reflected_layer_penalty: float = 0.3
    """Cost of what the reflection of the photo above the gap shows beyond its last layer. That of the photo below costs
    1, as it hangs from the sky. With less, a landscape is seen upside down where the sky below would reach; with more,
    land hangs from that sky."""

    repeated_reflection_penalty: float = 2.0
    """Cost of things, and of land and water that are reflected a second time. With less, they are seen again."""

    tolerated_fault: float = 0.1
    """Such costs that do not count where one photo passes into the other. With less, borders follow skylines sharply;
    with more, land is seen through the sky."""

    fault_margin: int = 3
    """Such costs count so many px around, at 64 px of the height. With less, borders are hard; with more, land is seen
    through the sky at its edges."""

    # The light of the photos, carried on

    slope_length: float = 0.125
    """Over this share of the height next to the gap is measured how a photo's brightness rises or falls, and over twice
    as much the slope is carried on. Without, skies have a dark line where pieces begin."""

    max_slope: float = 0.1
    """By how much brightness changes there at most, in 0..1: more is not the light of a sky, but a thing."""

    slope_cutoff: float = 4.0
    """Cut-off frequency down the edge, in cycles over the height, up to which slopes are carried on: what is finer
    belongs to things, not to the light."""

    # Layers that meet: sky laid on sky and land on land, by moving rows

    layer_gain: float = 0.03
    """By how much the share of the height at which one photo's sky meets the other's land has to fall, all penalties
    counted, for rows to be moved at all. With less, rows move where nothing is gained; with more, mountains end in
    mid-air."""

    max_layer_clash: float = 0.15
    """What may be left of that share where rows are moved. With more, rows move between photos that do not go together
    in any way, and viewers prefer them as they lie."""

    water_slope_penalty: float = 12.0
    """Cost of water that slopes, for the slope times its area in squares of the height. With less, seas climb up
    mountains."""

    slope_penalty: float = 2.0
    """Cost of land and clouds that are made to slope, for the square of the slope times its area. With less,
    they become cliffs and streaks; with more, less of them meets."""

    max_slope_cost: float = 0.6
    """Squares of slopes above that cost no more: in the narrowest gaps, what meets has to be steep. With less, slopes
    become cliffs in wider gaps too; with more, nothing meets in narrow ones."""

    shore_clash: float = 0.1
    """How much land that meets the other photo's water counts, compared with land that meets its sky."""

    max_moved_cutoff: float = 1.0
    """Cut-off frequency up to which the drawing's colours are kept in a gap whose rows are moved. What the network drew
    finer lies at other heights: with more of it, the skyline of a strong network shows beside the moved one."""

    narrowest_moving_range: float = 0.6
    """In heights, of a part of the gap in which all of the moving is done. With less, what meets there is a cliff; with
    more, a sea stays as it lies unless the gap is wide."""

    layer_smoothing: float = 0.1
    """As a share of the height: so far from a skyline, rows move nearly as much as itself. With less, what stands on it
    is bent; with more, skylines miss each other."""

    max_layer_shift: float = 0.32
    """By at most how many heights rows are moved: a skyline farther off is left where it is."""

    max_layer_stretch: float = 3.0
    """By at most how many times anything is stretched or pressed."""

    def __post_init__(self) -> None:
        heights = [level.height for level in self.pyramid]
        if not heights or heights[0] % self.num_cell_rows or any(fine % coarse for coarse, fine in pairwise(heights)):
            raise ValueError(
                f"pyramid has heights {heights}; each must be a multiple of the one before and of num_cell_rows "
                f"({self.num_cell_rows})"
            )
        widest = max(2 * level.patch_margin + 1 for level in self.pyramid)
        for name, least in (("num_cell_rows", widest), ("min_photo_cells", widest), ("num_candidates", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        for name, value in vars(self).items():
            if not isinstance(value, tuple) and not 0 <= value < float("inf"):
                raise ValueError(f"{name} is {value}; it cannot be negative or infinite")
        for name in DIVISORS:
            if not getattr(self, name):
                raise ValueError(f"{name} is 0; it must be more")

    @property
    def finest_height(self) -> int:
        """In px, of the level at which offsets are told."""
        return self.pyramid[-1].height
