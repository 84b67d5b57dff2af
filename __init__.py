"""Wide-Range Image Blending: two photos in, one panorama out. This file is all that ComfyUI imports at its start."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .nodes import WideRangeBlendExtension

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> WideRangeBlendExtension:
    """ComfyUI's way in. The nodes are imported here, so that importing this file alone costs nothing."""
    try:
        from .nodes import WideRangeBlendExtension
    except Exception:
        # ComfyUI logs the message alone.
        logging.exception("Wide-Range Image Blending could not be loaded")
        raise
    return WideRangeBlendExtension()
