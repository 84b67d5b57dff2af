"""What all groups of settings share: a value that makes no sense is refused by the setting's name.

Each group is a dataclass beside the code that uses it; `config.TrainingConfig` is all of them together.
"""

from __future__ import annotations


class Settings:
    """Base of the groups. Each checks its own fields in `__post_init__` and then calls that of the next one."""

    def __post_init__(self) -> None:
        pass

    def require_positive(self, *names: str) -> None:
        """Raise ValueError if one of these whole numbers is below 1."""
        for name in names:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")

    def require_not_negative(self, *names: str) -> None:
        """Raise ValueError if one of these numbers is below 0."""
        for name in names:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it cannot be negative")

    def require_share(self, *names: str) -> None:
        """Raise ValueError if one of these numbers is below 0 or above 1."""
        for name in names:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie between 0 and 1")
