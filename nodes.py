"""The nodes: what ComfyUI sees of `wrb`. The only file that imports ComfyUI."""

from __future__ import annotations

import inspect
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import folder_paths
import torch
from comfy import model_management
from comfy.model_patcher import ModelPatcher
from comfy.utils import ProgressBar
from comfy_api.latest import ComfyExtension, io, ui
from torch import Tensor

if TYPE_CHECKING:
    from .wrb import Blend, Crop
    from .wrb.geometry import Direction
    from .wrb.painter import PhotoMode

CATEGORY = "image/wide-range blend"

MODEL_FOLDER = "wrb"
"""Below ComfyUI's models folder, and the key in extra_model_paths.yaml."""

MODEL_EXTENSIONS = {".safetensors", ".pt", ".pth", ".ckpt", ""}
"""The authors' own file is called `Gen`: it has no extension."""

BUILT_IN = "built-in"

SAMPLES = Path(__file__).parent / "samples"

PRECISIONS = {"auto": None, "fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

PHOTOS: dict[str, PhotoMode] = {"keep exactly": "keep", "feather in": "feather", "redraw": "redraw"}
"""What the page calls the ways to treat the photos, and what `blend` calls them."""

DIRECTIONS: tuple[Direction, ...] = ("right", "down")

MORE_IMAGES = ("images_2", "images_3", "images_4")
"""Further inputs of a sequence: ComfyUI's own Batch Images crops photos to one size, and older ones make no lists."""

MAX_GAP_WIDTH = 8 * 8192
"""Eight times the height of the highest photos, in px; `blend` knows the limit for the photos at hand."""

MULTIPLES = ("8", "16", "32", "64")
"""Of what models want both sides of an image to be multiples, in px."""

BATCH_SIZE = 4
"""Gaps that go through the network at once, while the memory suffices."""

VALUES_PER_PIXEL = 16
"""Numbers that the network holds at its peak, for each pixel of its panorama and unit of its width.

On the CPU it was 2 to 7, the most for wide gaps; as much again is for the convolutions' workspace on a GPU.
"""


class Choice(io.Combo.Input):
    """A combo that ComfyUI checks before the graph runs, as it does those of V1 nodes: by the list in its type.

    Until some later version it does not check those of V3 nodes, whose type is a word.
    """

    def get_io_type(self) -> list[str]:
        return self.options


ModelType = io.Custom("WRB_MODEL")
BlendType = io.Custom("WRB_BLEND")


@dataclass(frozen=True)
class BlendWithModel:
    """A `WRB_BLEND`: a blend, and the model that can go on with it wherever ComfyUI has moved its weights."""

    model: ModelPatcher
    blend: Blend
    crop: Crop | None = None
    """What the image that comes with it shows of the blend; None: the whole panorama."""

    def get_ram_usage(self) -> int:
        """What newer ComfyUI asks before it drops outputs to win memory, in bytes: of what no other output holds."""
        return self.blend.num_kept_bytes


class WRBLoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WRBLoadModel",
            display_name="Load Wide-Range Blend Model",
            category=CATEGORY,
            description="Loads the network that generates what lies between two photos.",
            inputs=[
                Choice(
                    "model_name",
                    options=list_models(),
                    default=BUILT_IN,
                    tooltip="built-in comes with the node pack. Below it are the files in ComfyUI's models/wrb folder.",
                ),
                Choice(
                    "precision",
                    options=list(PRECISIONS),
                    default="auto",
                    tooltip="The number format to compute in. auto: fp32, unless ComfyUI was started with another for "
                    "image decoders (--fp16-vae, --bf16-vae). fp16 and bf16 need half the memory; bf16 is coarser.",
                ),
            ],
            outputs=[ModelType.Output(display_name="model", tooltip="For Wide-Range Blend.")],
        )

    @classmethod
    def fingerprint_inputs(cls, model_name: str = BUILT_IN, precision: str = "auto") -> tuple[int, int] | None:
        """The size and time of the file, so that one replaced under its name is read again.

        None is the built-in model, or a name that another node will give.
        """
        path = None if model_name == BUILT_IN else folder_paths.get_full_path(MODEL_FOLDER, model_name)
        if path is None:
            return None
        file = Path(path).stat()
        return file.st_size, file.st_mtime_ns

    @classmethod
    def execute(cls, model_name: str, precision: str) -> io.NodeOutput:
        from .wrb import load_generator

        device = model_management.get_torch_device()
        offload_device = model_management.unet_offload_device()
        dtype = PRECISIONS[precision] or model_management.vae_dtype(device)
        path = None if model_name == BUILT_IN else folder_paths.get_full_path_or_raise(MODEL_FOLDER, model_name)
        generator = load_generator(path, device=offload_device, dtype=dtype)
        return io.NodeOutput(ModelPatcher(generator, load_device=device, offload_device=offload_device))


class WRBBlend(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WRBBlend",
            display_name="Wide-Range Blend",
            category=CATEGORY,
            description="Joins two photos into one panorama and generates what lies between them.",
            **known_to(io.Schema, search_aliases=["panorama", "stitch", "join", "outpaint", "in-between", "extend"]),
            inputs=[
                ModelType.Input("model", tooltip="From Load Wide-Range Blend Model."),
                io.Image.Input(
                    "left",
                    tooltip="The left photo (with direction down: the top one), of any size. Several make several "
                    "panoramas. Sets their height.",
                ),
                io.Image.Input(
                    "right",
                    tooltip="The right photo (with direction down: the bottom one), of any size; it is scaled to the "
                    "left one's height. One goes with every left photo.",
                ),
                gap_width_input(),
                *photo_inputs(),
                direction_input(),
                detail_input(),
                layers_input(),
            ],
            outputs=[
                io.Image.Output(display_name="panorama", tooltip="The left photo, the gap, the right photo."),
                gap_mask_output(),
                blend_output(),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: ModelPatcher,
        left: Tensor,
        right: Tensor,
        gap_width: int,
        photos: str,
        feather: int,
        direction: Direction = "right",
        detail: float = 1,
        layers: float = 1,
    ) -> io.NodeOutput:
        from .wrb import blend

        def attempt(batch_size: int) -> Blend:
            return blend(
                model.model,
                to_torch(left),
                to_torch(right),
                gap_width or None,
                photo_mode=PHOTOS[photos],
                feather=feather,
                detail=detail,
                layers=layers,
                direction=direction,
                batch_size=batch_size,
                on_progress=ProgressBar(1).update_absolute,
            )

        num_panoramas = max(len(left), len(right))
        height = height_along(direction, left)
        result = run_within_memory(model, attempt, num_panoramas, height=height, gap_width=gap_width)
        return io.NodeOutput(*to_comfy(result), BlendWithModel(model, result))


class WRBBlendSequence(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WRBBlendSequence",
            display_name="Wide-Range Blend (Sequence)",
            category=CATEGORY,
            description="Joins any number of photos into one panorama, on request one that leads round into itself.",
            **known_to(io.Schema, search_aliases=["panorama", "360", "stitch", "join", "outpaint", "loop"]),
            is_input_list=True,
            inputs=[
                ModelType.Input("model", tooltip="From Load Wide-Range Blend Model."),
                io.Image.Input(
                    "images",
                    tooltip="The photos in their order, of any sizes: one, a batch or a list. They are scaled to the "
                    "first one's height.",
                ),
                gap_width_input(),
                io.String.Input(
                    "gap_widths",
                    default="",
                    tooltip="One width in px for each gap, in their order, such as: 512, 300, 0. Takes the place of "
                    "gap_width, which is for all gaps alike. Leave empty otherwise.",
                ),
                io.Boolean.Input(
                    "loop",
                    default=False,
                    tooltip="Lead from the last photo back into the first, to a panorama of 360°. The gap that does "
                    "so stands at the end.",
                ),
                *photo_inputs(),
                direction_input(),
                detail_input(),
                layers_input(),
                *(
                    io.Image.Input(name, optional=True, tooltip="More photos, in their order, after those above.")
                    for name in MORE_IMAGES
                ),
            ],
            outputs=[
                io.Image.Output(display_name="panorama", tooltip="The photos in their order, a gap after each."),
                gap_mask_output(),
                blend_output(),
            ],
        )

    @classmethod
    def validate_inputs(cls, gap_widths: Sequence[str | None] = ("",)) -> bool | str:
        # The only one named here: ComfyUI reports the answer at each that is.
        try:
            read_gap_widths(gap_widths[0] or "")
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(
        cls,
        model: Sequence[ModelPatcher],
        images: Sequence[Tensor],
        gap_width: Sequence[int],
        gap_widths: Sequence[str],
        loop: Sequence[bool],
        photos: Sequence[str],
        feather: Sequence[int],
        direction: Sequence[Direction] = ("right",),
        detail: Sequence[float] = (1,),
        layers: Sequence[float] = (1,),
        **more_images: Sequence[Tensor],
    ) -> io.NodeOutput:
        from .wrb import blend_sequence

        # Every input is a list, so that the images can be one. Of widths too a list is as good as a text.
        each_width = read_gap_widths(gap_widths[0]) or (gap_width if len(gap_width) > 1 else None)
        height = height_along(direction[0], images[0])
        batches = [*images, *(batch for name in MORE_IMAGES for batch in more_images.get(name, ()))]

        def attempt(batch_size: int) -> Blend:
            return blend_sequence(
                model[0].model,
                [to_torch(batch) for batch in batches],
                gap_width[0] or None if each_width is None else [width or None for width in each_width],
                loop=loop[0],
                photo_mode=PHOTOS[photos[0]],
                feather=feather[0],
                detail=detail[0],
                layers=layers[0],
                direction=direction[0],
                batch_size=batch_size,
                on_progress=ProgressBar(1).update_absolute,
            )

        widest = max(width or height for width in each_width or gap_width)
        num_gaps = sum(map(len, batches)) - (not loop[0])
        result = run_within_memory(model[0], attempt, num_gaps, height=height, gap_width=widest)
        return io.NodeOutput(*to_comfy(result), BlendWithModel(model[0], result))


class WRBAdjustGap(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WRBAdjustGap",
            display_name="Adjust Gap Width",
            category=CATEGORY,
            description="Makes the same panorama with another gap. The photos are not encoded again.",
            **known_to(io.Schema, search_aliases=["panorama", "extend"]),
            inputs=[
                BlendType.Input("blend", tooltip="From Wide-Range Blend. Of a sequence, all gaps become alike."),
                gap_width_input(),
            ],
            outputs=[
                io.Image.Output(display_name="panorama", tooltip="The same photos with the new gap between them."),
                gap_mask_output(),
                blend_output(),
            ],
        )

    @classmethod
    def execute(cls, blend: BlendWithModel, gap_width: int) -> io.NodeOutput:
        def attempt(batch_size: int) -> Blend:
            return blend.blend.with_gap_width(
                gap_width or None, batch_size=batch_size, on_progress=ProgressBar(1).update_absolute
            )

        layout = blend.blend.layout
        num_gaps = len(blend.blend.panorama) * len(layout.gap_widths)
        result = run_within_memory(blend.model, attempt, num_gaps, height=layout.height, gap_width=gap_width)
        return io.NodeOutput(*to_comfy(result), BlendWithModel(blend.model, result))


class WRBCropGap(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WRBCropGap",
            display_name="Crop to Gap",
            category=CATEGORY,
            description="Cuts out the gap with a part of the photos beside it, for a model that paints it anew. "
            "Restore Photos in Panorama puts it back.",
            **known_to(io.Schema, search_aliases=["panorama", "inpaint", "repaint", "crop and stitch", "mask"]),
            inputs=[
                BlendType.Input("blend", tooltip="From Wide-Range Blend. Of a sequence, every gap gets a crop."),
                io.Float.Input(
                    "context",
                    default=0.5,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip="How much of the photo on each side is shown to the model, as a multiple of the panorama's "
                    "height.",
                ),
                io.Float.Input(
                    "megapixels",
                    default=1.0,
                    min=0.05,
                    max=16.0,
                    step=0.05,
                    tooltip="To how many megapixels the crop is scaled: 0.5 for Stable Diffusion 1.5, 1 for SDXL and "
                    "FLUX. With detail, Restore Photos in Panorama makes it as sharp as the photos again.",
                ),
                io.Int.Input(
                    "height",
                    default=0,
                    min=0,
                    max=8192,
                    step=8,
                    tooltip="To which height in px the crop is scaled instead; with direction down, its width. 0: as "
                    "megapixels says.",
                ),
                Choice(
                    "multiple",
                    options=list(MULTIPLES),
                    default="16",
                    tooltip="Both sides of the crop become multiples of so many px, as the model wants. A little more "
                    "of the photos is shown for it; nothing is distorted.",
                ),
                io.Int.Input(
                    "grow",
                    default=16,
                    min=0,
                    max=1024,
                    tooltip="How many px of the crop the mask reaches into the photos, so that the model can lead them "
                    "over.",
                ),
                io.Int.Input(
                    "feather",
                    default=0,
                    min=0,
                    max=1024,
                    tooltip="Over how many px more the mask fades out.",
                ),
                io.Float.Input(
                    "max_width",
                    default=3.0,
                    min=1.0,
                    max=16.0,
                    step=0.1,
                    tooltip="How wide a crop may be, as a multiple of its height. A wider gap gets several crops that "
                    "overlap.",
                    **known_to(io.Float.Input, advanced=True),
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="crop", tooltip="The gap between its photos, one for each gap.", is_output_list=True
                ),
                io.Mask.Output(display_name="mask", tooltip="1 where it is to be painted anew.", is_output_list=True),
                BlendType.Output(display_name="blend", tooltip="For Restore Photos in Panorama.", is_output_list=True),
            ],
        )

    @classmethod
    def execute(
        cls,
        blend: BlendWithModel,
        context: float,
        megapixels: float,
        height: int,
        multiple: str,
        grow: int,
        feather: int,
        max_width: float,
    ) -> io.NodeOutput:
        from .wrb import crop_gaps

        crops = crop_gaps(
            blend.blend,
            context=context,
            height=height or None,
            megapixels=megapixels,
            multiple=int(multiple),
            grow=grow,
            feather=feather,
            max_width=max_width,
        )
        device = model_management.intermediate_device()
        return io.NodeOutput(
            [crop.image.movedim(1, -1).to(device) for crop in crops],
            # other nodes may write into the mask, whose rows are one in memory
            [crop.mask.contiguous().to(device) for crop in crops],
            [BlendWithModel(blend.model, blend.blend, crop) for crop in crops],
        )


class WRBRestorePhotos(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WRBRestorePhotos",
            display_name="Restore Photos in Panorama",
            category=CATEGORY,
            description="Puts the photos' own pixels back into a panorama that was upscaled or repainted, or a "
            "repainted gap back between its photos.",
            **known_to(
                io.Schema, search_aliases=["panorama", "paste back", "composite", "original", "stitch", "uncrop"]
            ),
            is_input_list=True,
            inputs=[
                io.Image.Input(
                    "panorama",
                    tooltip="The panorama of a Wide-Range Blend after other nodes have changed it, at any size, but "
                    "whole and undistorted; or what other nodes have made of the crops of Crop to Gap, all of them.",
                ),
                BlendType.Input(
                    "blend", tooltip="From the Wide-Range Blend, Adjust Gap Width or Crop to Gap that made it."
                ),
                io.Int.Input(
                    "feather",
                    default=0,
                    min=0,
                    max=8192,
                    tooltip="How many px of each photo, counted from the gap, fade into the panorama as it was "
                    "handed in; of a crop, in its own px. 0: the photos are put back to the edge.",
                ),
                io.Float.Input(
                    "detail",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,  # so that graphs made before there was a choice go on working
                    tooltip="How much of the photos' own fine detail the gap receives beyond what it has. 1: it "
                    "becomes as sharp as the photos. 0: it stays as it was handed in, enlarged.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="panorama",
                    tooltip="The panorama with the photos, at its own size; that of crops at the photos' size.",
                    is_output_list=True,
                ),
                io.Mask.Output(
                    display_name="gap",
                    tooltip="1 where the panorama is generated, 0 where it is a photo.",
                    is_output_list=True,
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        panorama: Sequence[Tensor],
        blend: Sequence[BlendWithModel],
        feather: Sequence[int],
        detail: Sequence[float] = (0,),
    ) -> io.NodeOutput:
        from .wrb import restore_crops, restore_photos

        # Every input is a list, so that the crops of a panorama come together. Short ones repeat, as in other nodes.
        count = max(map(len, (panorama, blend, feather, detail)))
        inputs = (repeated(values, count) for values in (map(to_torch, panorama), blend, feather, detail))
        restored = []
        for group in panoramas_of(list(zip(*inputs, strict=True))):
            image, made, width, share = group[0]
            if made.crop is None:
                restored.append(restore_photos(image, made.blend, feather=width, detail=share))
            else:
                crops = [other.crop for _, other, _, _ in group if other.crop]
                restored.append(restore_crops([image for image, *_ in group], crops, feather=width, detail=share))
        panoramas, masks = zip(*map(to_comfy, restored), strict=True)
        return io.NodeOutput(list(panoramas), list(masks))


class WRBPreviewPanorama(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WRBPreviewPanorama",
            display_name="Preview Panorama",
            category=CATEGORY,
            description="Shows a panorama to look around in: drag to move, turn the wheel to zoom.",
            **known_to(io.Schema, search_aliases=["panorama", "360", "viewer", "zoom"]),
            inputs=[
                io.Image.Input("panorama", tooltip="The panorama to show. Of several, one is shown at a time."),
                io.Boolean.Input(
                    "loop",
                    default=False,
                    tooltip="Whether the right end leads into the left end, so that one can go round and round.",
                ),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],  # they go into the pictures, as in Preview Image
            is_output_node=True,
        )

    @classmethod
    def execute(cls, panorama: Tensor, loop: bool) -> io.NodeOutput:
        # As `images`, which the queue and the list of jobs show; web/preview_panorama.js shows them in the node.
        return io.NodeOutput(ui={"images": ui.PreviewImage(panorama, cls=cls).values, "loop": [loop]})


class WideRangeBlendExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        # on_load would be the place for the first two, but ComfyUI has called it only since later versions.
        register_model_folder()
        copy_samples()
        return [
            WRBLoadModel,
            WRBBlend,
            WRBBlendSequence,
            WRBAdjustGap,
            WRBCropGap,
            WRBRestorePhotos,
            WRBPreviewPanorama,
        ]


def gap_width_input() -> io.Int.Input:
    return io.Int.Input(
        "gap_width",
        default=0,
        min=0,
        max=MAX_GAP_WIDTH,
        tooltip="Width of the generated part in px, from 1/4 of the panorama's height to 8 times it. "
        "0: as wide as the panorama is high, which suits the network best.",
    )


def photo_inputs() -> tuple[Choice, io.Int.Input]:
    return (
        Choice(
            "photos",
            options=list(PHOTOS),
            default="keep exactly",
            tooltip="keep exactly: the photos' pixels stay as they are. feather in: near the gap they fade "
            "into what the network drew. redraw: they are what the network drew, softer than the originals.",
        ),
        io.Int.Input(
            "feather",
            default=64,
            min=0,
            max=8192,
            tooltip="How many px of each photo, counted from the gap, fade into what the network drew. "
            "Only “feather in” uses it.",
            **known_to(io.Int.Input, advanced=True),
        ),
    )


def direction_input() -> Choice:
    return Choice(
        "direction",
        options=list(DIRECTIONS),
        default="right",
        # so that graphs made before there was a choice go on working
        optional=True,
        tooltip="right: from the left photo to the right one. down: from the top one to the bottom one; the width of "
        "the panorama then takes the place of its height, and the other way round.",
        **known_to(io.Combo.Input, advanced=True),
    )


def detail_input() -> io.Float.Input:
    return io.Float.Input(
        "detail",
        default=1.0,
        min=0.0,
        max=1.0,
        step=0.05,
        optional=True,
        tooltip="How much of the photos' own detail goes into the generated part. 1: as sharp as the photos. 0: what "
        "the network drew, enlarged.",
        **known_to(io.Float.Input, advanced=True),
    )


def layers_input() -> io.Float.Input:
    return io.Float.Input(
        "layers",
        default=1.0,
        min=0.0,
        max=1.0,
        step=0.05,
        optional=True,
        tooltip="How far the layers of one photo are led to those of the other, so that no mountain ends in mid-air. "
        "1: until skylines meet, where that is sure. 0: everything stays at its height.",
        **known_to(io.Float.Input, advanced=True),
    )


def known_to(kind: Callable[..., object], **options: Any) -> dict[str, Any]:
    """Those of the options that this version of ComfyUI has; any other would keep the whole pack from loading."""
    return {name: value for name, value in options.items() if name in inspect.signature(kind).parameters}


def blend_output() -> io.Output:
    return BlendType.Output(
        display_name="blend", tooltip="For Adjust Gap Width, Crop to Gap and Restore Photos in Panorama."
    )


def gap_mask_output() -> io.Mask.Output:
    return io.Mask.Output(display_name="gap", tooltip="1 where the panorama is generated, 0 where it is a photo.")


def repeated(values: Iterable[Any], count: int) -> list[Any]:
    """That many of a list, the last one again where there are fewer: as ComfyUI does for nodes that take no lists."""
    values = list(values)
    return values + values[-1:] * (count - len(values))


def panoramas_of(
    changed: Sequence[tuple[Tensor, BlendWithModel, int, float]],
) -> list[list[tuple[Tensor, BlendWithModel, int, float]]]:
    """Whole panoramas, each by itself, and crops, together with those beside them in the list that are of the same one.

    A crop that comes again begins the next panorama.
    """
    groups: list[list[tuple[Tensor, BlendWithModel, int, float]]] = []
    for one in changed:
        crop, group = one[1].crop, groups[-1] if groups else []
        others = [other.crop for _, other, _, _ in group]
        if (
            crop
            and others
            and others[0]
            and others[0].blend is crop.blend
            and all(other is not crop for other in others)
        ):
            group.append(one)
        else:
            groups.append([one])
    return groups


def read_gap_widths(text: str) -> list[int]:
    """The numbers in a text such as "512, 300, 0"; none in an empty one.

    Raises:
        ValueError: if there is anything else in it.
    """
    try:
        widths = [int(width) for width in text.split(",")] if text.strip() else []
        if any(not 0 <= width <= MAX_GAP_WIDTH for width in widths):
            raise ValueError
    except ValueError:
        raise ValueError(f"{text!r} is not a list of widths; write px and commas, such as: 512, 300, 0") from None
    return widths


def height_along(direction: Direction, images: Tensor) -> int:
    """Of an IMAGE (b h w c), what `wrb` calls height: the side across the panorama's direction, in px."""
    return images.shape[1 if direction == "right" else 2]


def to_torch(image: Tensor) -> Tensor:
    """ComfyUI's IMAGE to `wrb`'s layout: (b h w c) to (b c h w)."""
    return image.movedim(-1, 1)


def to_comfy(blend: Blend) -> tuple[Tensor, Tensor]:
    """A blend as ComfyUI's IMAGE (b h w c) and MASK (b h w)."""
    device = model_management.intermediate_device()
    # other nodes may write into the mask, whose rows are one in memory
    return blend.panorama.movedim(1, -1).to(device), blend.gap_mask.contiguous().to(device)


def run_within_memory(
    model: ModelPatcher, attempt: Callable[[int], Blend], num_gaps: int, *, height: int, gap_width: int
) -> Blend:
    """Have ComfyUI bring the model in and run `attempt` with a batch size; out of memory, free it and try again.

    Raises:
        RuntimeError: if that is too much as well; the text says what to do.
    """

    def load_and_attempt(batch_size: int) -> Blend:
        memory = estimate_memory(model, min(batch_size, num_gaps), (gap_width or height) / height)
        # These layers run on one device only: ComfyUI must not offload some of them.
        model_management.load_models_gpu([model], memory_required=memory, force_full_load=True)
        return attempt(batch_size)

    one_by_one = ", one gap at a time" if num_gaps > 1 else ""
    try:
        return load_and_attempt(BATCH_SIZE)
    except Exception as error:
        if not is_oom(error):
            raise
        logging.warning("Wide-Range Blend ran out of memory; freeing it and trying again%s.", one_by_one)
    # Not within the handler, where the traceback keeps the first attempt's tensors alive.
    model_management.unload_all_models()
    model_management.soft_empty_cache()
    try:
        return load_and_attempt(1)
    except Exception as error:
        if not is_oom(error):
            raise
        raise RuntimeError(
            f"Out of memory, even after freeing what ComfyUI held{one_by_one}. Choose a smaller gap_width or smaller "
            "photos, set precision to fp16 in Load Wide-Range Blend Model, or close other programs that use "
            f"{model.load_device}."
        ) from error


def is_oom(error: Exception) -> bool:
    """Whether memory ran out. Newer ComfyUI has a function for that, which knows more devices, but not the CPU."""
    from .wrb.devices import is_out_of_memory

    return is_out_of_memory(error) or (hasattr(model_management, "is_oom") and model_management.is_oom(error))


def estimate_memory(model: ModelPatcher, num_gaps: int, gap_proportion: float) -> float:
    """Bytes that one pass of the network needs, for gaps of `gap_proportion` times the panorama's height."""
    num_pixels = num_gaps * 256 * 256 * (2 + gap_proportion)
    element_size = next(model.model.parameters()).element_size()
    return VALUES_PER_PIXEL * num_pixels * model.model.config.width * element_size


def register_model_folder() -> None:
    """Create models/wrb and have ComfyUI list the weights in it, and in what extra_model_paths.yaml maps to it."""
    folder = Path(folder_paths.models_dir) / MODEL_FOLDER
    folder_paths.add_model_folder_path(MODEL_FOLDER, str(folder))
    folder_paths.folder_names_and_paths[MODEL_FOLDER][1].update(MODEL_EXTENSIONS)
    with warning_of_failure("create the folder for models"):
        folder.mkdir(parents=True, exist_ok=True)


def list_models() -> list[str]:
    files = folder_paths.get_filename_list(MODEL_FOLDER)
    return [BUILT_IN, *(file for file in files if not Path(file).name.startswith("."))]


def copy_samples() -> None:
    """Put the sample photos where Load Image finds them, so that the example graphs run as shipped.

    Load Image offers the files of ComfyUI's input folder and no others, and other packs with example photos do the
    same. A file that is there already stays as it is.
    """
    input_folder = Path(folder_paths.get_input_directory())
    with warning_of_failure("copy the sample photos"):
        for sample in SAMPLES.glob("*.jpg"):
            if not (input_folder / sample.name).exists():
                shutil.copyfile(sample, input_folder / sample.name)


@contextmanager
def warning_of_failure(doing: str) -> Iterator[None]:
    """A folder that cannot be written to must not cost the user the nodes."""
    try:
        yield
    except OSError as error:
        logging.warning("Wide-Range Image Blending could not %s: %s", doing, error)
