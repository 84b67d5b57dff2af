"""Detail for the gap at full resolution: it is laid with pieces of the photos, as the network's drawing asks for them.

`pipeline` says in which steps, `settings` has every number that the picture depends on.
"""

from .pipeline import add_detail
from .settings import DetailSettings, PyramidLevel
from .sharpening import sharpen

__all__ = ["DetailSettings", "PyramidLevel", "add_detail", "sharpen"]
