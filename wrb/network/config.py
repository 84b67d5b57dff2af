"""What a generator is: the few numbers that its weights do not explain by themselves."""

from __future__ import annotations

from dataclasses import dataclass

IMAGE_SIZE = 256
"""Height and width in px of each photo as the network sees it."""

COLUMN_WIDTH = 64
"""Width in px of one generated column at the network's height (four columns a photo)."""

DECODER_LEVELS = (0, 1, 2, 3, 4)
"""Decoder levels that can have a skip connection and attention; level n works at 128 / 2^n px height."""

WIDEST = 4096
"""Largest width, 64 times the published one: a file that names more is damaged, and torch cannot count its weights."""


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """Sizes and options of a `Generator`. The defaults are those of the authors' published weights.

    Raises:
        ValueError: if a value is out of range.
    """

    width: int = 64
    """Channels of the first encoder stage; every other layer is a fixed multiple of it. Even, at least 2."""

    attention_levels: tuple[int, ...] = (1,)
    """Decoder levels, 0 (outermost) to 4, at which the gap attends to the photos."""

    skip_levels: tuple[int, ...] = DECODER_LEVELS
    """Decoder levels at which the photos' own sides get the encoder's detail back."""

    def __post_init__(self) -> None:
        if not 2 <= self.width <= WIDEST or self.width % 2:
            raise ValueError(f"width is {self.width}; it must be an even number of at least 2, at most {WIDEST}")
        for name in ("attention_levels", "skip_levels"):
            levels = set(getattr(self, name))
            if unknown := levels - set(DECODER_LEVELS):
                raise ValueError(f"{name} has {sorted(unknown)}; levels are {list(DECODER_LEVELS)}")
            object.__setattr__(self, name, tuple(sorted(levels)))

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Channels of the encoder's maps: skips 0 to 4, then the bottleneck."""
        return tuple(self.width * factor for factor in (1, 2, 4, 8, 16, 16))

    @property
    def transfer_channels(self) -> int:
        """Channels of the map that the bidirectional content transfer works on."""
        return 8 * self.width
