"""All that a place of the gap can show: columns of the two photos, and of their mirrors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class SourceStrip:
    """The photos beside a gap and, between them, their mirrors at the gap's edges:

        left photo | its mirror | the right photo's mirror | right photo

    Every place of the gap has its source in its own row of the strip. Its offset says how many px to the right, counted
    from the place itself, where the gap begins at the end of the left photo: at offset 0 a place shows the left photo's
    mirror at the edge, at `right_mirror_offset` the right photo's.
    """

    left: Tensor
    """(3 h w)."""

    right: Tensor
    """(3 h w), as high."""

    gap_width: int
    """In px."""

    left_things: Tensor | None = None
    """How much of each place of the left photo belongs to things apart from the gap, and to things that reach it,
    (2 h w) in 0..1; None: there are none. `right_things` alike."""

    right_things: Tensor | None = None

    @property
    def image(self) -> Tensor:
        """(3 h w)."""
        return with_mirrors(self.left, self.right)

    @property
    def things(self) -> Tensor:
        """(2 h w), as of the photos."""
        left, right = (
            photo.new_zeros(2, *photo.shape[-2:]) if things is None else things
            for photo, things in ((self.left, self.left_things), (self.right, self.right_things))
        )
        return with_mirrors(left, right)

    @property
    def width(self) -> int:
        """In px."""
        return 2 * (self.left.shape[-1] + self.right.shape[-1])

    @property
    def joints(self) -> tuple[int, int, int]:
        """The first columns of the left photo's mirror, of the right one's, and of the right photo."""
        left_width, right_width = self.left.shape[-1], self.right.shape[-1]
        return left_width, 2 * left_width, 2 * left_width + right_width

    @property
    def right_mirror_offset(self) -> int:
        """At which a place of the gap shows the right photo's mirror at the gap's edge."""
        return self.left.shape[-1] + self.right.shape[-1] - self.gap_width

    def is_edge_mirror(self, offsets: Tensor, source_columns: Tensor) -> Tensor:
        """Whether offsets, which lead to these columns of the strip, show a photo's mirror at the gap's edge."""
        in_right = source_columns >= self.joints[1]
        return offsets == self.right_mirror_offset * in_right

    def photo_columns(self) -> Tensor:
        """For each column of the strip, which one of both photos side by side it shows: (w)."""
        left_width, right_width = self.left.shape[-1], self.right.shape[-1]
        columns = torch.arange(left_width + right_width, device=self.left.device)
        return with_mirrors(columns[:left_width], columns[left_width:])


def with_mirrors(left: Tensor, right: Tensor) -> Tensor:
    """Both photos, (… w), and between them their mirrors."""
    return torch.cat([left, left.flip(-1), right.flip(-1), right], dim=-1)


def variances(photo: Tensor, size: int) -> Tensor:
    """Of a photo's channels, (3 h w), in every window of `size` px: (3 h-size+1 w-size+1)."""
    mean, mean_square = (F.avg_pool2d(image[None], size, 1)[0] for image in (photo, photo.square()))
    return mean_square - mean.square()
