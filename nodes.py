"""The nodes: what ComfyUI sees of `wrb`. The only file that imports ComfyUI."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import folder_paths
import torch
from comfy import model_management
from comfy.model_patcher import ModelPatcher
from comfy.utils import ProgressBar
from comfy_api.latest import ComfyExtension, io
from torch import Tensor

if TYPE_CHECKING:
    from .wrb import Blend
    from .wrb.blend import PhotoMode

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

MAX_GAP_WIDTH = 8 * 8192
"""Eight times the height of the highest photos, in px; `blend` knows the limit for the photos at hand."""

BATCH_SIZE = 4
"""Panoramas that go through the network at once, while the memory suffices."""

VALUES_PER_PIXEL = 16
"""Numbers that the network holds at its peak, for each pixel of its panorama and unit of its width.

On the CPU it was 2 to 7, the most for wide gaps; as much again is for the convolutions' workspace on a GPU.
"""

ModelType = io.Custom("WRB_MODEL")
BlendType = io.Custom("WRB_BLEND")


@dataclass(frozen=True)
class BlendWithModel:
    """A `WRB_BLEND`: a blend, and the model that can go on with it wherever ComfyUI has moved its weights."""

    model: ModelPatcher
    blend: Blend


class WRBLoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WRBLoadModel",
            display_name="Load Wide-Range Blend Model",
            category=CATEGORY,
            description="Loads the network that generates what lies between two photos.",
            inputs=[
                io.Combo.Input(
                    "model_name",
                    options=list_models(),
                    default=BUILT_IN,
                    tooltip="built-in comes with the node pack. Below it are the files in ComfyUI's models/wrb folder.",
                ),
                io.Combo.Input(
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
    def validate_inputs(cls, model_name: str | None, precision: str | None) -> bool | str:
        return check_choices(model_name=(model_name, list_models()), precision=(precision, PRECISIONS))

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
            inputs=[
                ModelType.Input("model", tooltip="From Load Wide-Range Blend Model."),
                io.Image.Input(
                    "left", tooltip="The left photo, of any size. Several make several panoramas. Sets their height."
                ),
                io.Image.Input(
                    "right",
                    tooltip="The right photo, of any size; it is scaled to the left one's height. One goes with "
                    "every left photo.",
                ),
                gap_width_input(),
                io.Combo.Input(
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
                    "Only feather in uses it.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="panorama", tooltip="The left photo, the gap, the right photo."),
                gap_mask_output(),
                BlendType.Output(display_name="blend", tooltip="For Adjust Gap Width."),
            ],
        )

    @classmethod
    def validate_inputs(cls, photos: str | None) -> bool | str:
        return check_choices(photos=(photos, PHOTOS))

    @classmethod
    def execute(
        cls, model: ModelPatcher, left: Tensor, right: Tensor, gap_width: int, photos: str, feather: int
    ) -> io.NodeOutput:
        from .wrb import blend

        def attempt(batch_size: int) -> Blend:
            return blend(
                model.model,
                to_torch(left),
                to_torch(right),
                gap_width or None,
                photos=PHOTOS[photos],
                feather=feather,
                batch_size=batch_size,
                on_progress=ProgressBar(1).update_absolute,
            )

        num_panoramas = max(len(left), len(right))
        result = run_within_memory(model, attempt, num_panoramas, height=left.shape[1], gap_width=gap_width)
        return io.NodeOutput(*to_comfy(result), BlendWithModel(model, result))


class WRBAdjustGap(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WRBAdjustGap",
            display_name="Adjust Gap Width",
            category=CATEGORY,
            description="Makes the same panorama with another gap. The photos are not encoded again.",
            inputs=[BlendType.Input("blend", tooltip="From Wide-Range Blend."), gap_width_input()],
            outputs=[
                io.Image.Output(display_name="panorama", tooltip="The same photos with the new gap between them."),
                gap_mask_output(),
            ],
        )

    @classmethod
    def execute(cls, blend: BlendWithModel, gap_width: int) -> io.NodeOutput:
        def attempt(batch_size: int) -> Blend:
            return blend.blend.with_gap_width(
                gap_width or None, batch_size=batch_size, on_progress=ProgressBar(1).update_absolute
            )

        num_panoramas, _, height, _ = blend.blend.panorama.shape
        result = run_within_memory(blend.model, attempt, num_panoramas, height=height, gap_width=gap_width)
        return io.NodeOutput(*to_comfy(result))


class WideRangeBlendExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        # on_load would be the place for the first two, but ComfyUI has called it only since later versions.
        register_model_folder()
        copy_samples()
        return [WRBLoadModel, WRBBlend, WRBAdjustGap]


def gap_width_input() -> io.Int.Input:
    return io.Int.Input(
        "gap_width",
        default=0,
        min=0,
        max=MAX_GAP_WIDTH,
        tooltip="Width of the generated part in px, from 1/4 of the panorama's height to 8 times it. "
        "0: as wide as the panorama is high, which suits the network best.",
    )


def gap_mask_output() -> io.Mask.Output:
    return io.Mask.Output(display_name="gap", tooltip="1 where the panorama is generated, 0 where it is a photo.")


def check_choices(**chosen: tuple[str | None, Collection[str]]) -> bool | str:
    """Say what is wrong with a choice, for `validate_inputs`: ComfyUI 0.3.75 does not check those of V3 nodes itself.

    Args:
        chosen: by the input's name, what was chosen and what can be. None is a value that another node will give.
    """
    for name, (value, choices) in chosen.items():
        if value is not None and value not in choices:
            return f"{name} is {value!r}; choose one of: {', '.join(choices)}"
    return True


def to_torch(image: Tensor) -> Tensor:
    """ComfyUI's IMAGE to `wrb`'s layout: (b h w c) to (b c h w)."""
    return image.movedim(-1, 1)


def to_comfy(blend: Blend) -> tuple[Tensor, Tensor]:
    """A blend as ComfyUI's IMAGE (b h w c) and MASK (b h w)."""
    device = model_management.intermediate_device()
    return blend.panorama.movedim(1, -1).to(device), blend.gap_mask.to(device)


def run_within_memory(
    model: ModelPatcher, attempt: Callable[[int], Blend], num_panoramas: int, *, height: int, gap_width: int
) -> Blend:
    """Have ComfyUI bring the model in and run `attempt` with a batch size; out of memory, free it and try again.

    Raises:
        RuntimeError: if that is too much as well; the text says what to do.
    """

    def load_and_attempt(batch_size: int) -> Blend:
        memory = estimate_memory(model, min(batch_size, num_panoramas), (gap_width or height) / height)
        # These layers run on one device only: ComfyUI must not offload some of them.
        model_management.load_models_gpu([model], memory_required=memory, force_full_load=True)
        return attempt(batch_size)

    try:
        return load_and_attempt(BATCH_SIZE)
    except model_management.OOM_EXCEPTION:
        logging.warning("Wide-Range Blend ran out of memory; freeing it and trying again, one panorama at a time.")
    # Not within the handler, where the traceback keeps the first attempt's tensors alive.
    model_management.unload_all_models()
    model_management.soft_empty_cache()
    try:
        return load_and_attempt(1)
    except model_management.OOM_EXCEPTION as error:
        raise RuntimeError(
            f"Out of memory on {model.load_device}, even for one panorama at a time. Choose a smaller gap_width, "
            "set precision to fp16 in Load Wide-Range Blend Model, or close other programs that use the device."
        ) from error


def estimate_memory(model: ModelPatcher, num_panoramas: int, gap_proportion: float) -> float:
    """Bytes that one pass of the network needs, for a gap of `gap_proportion` times the panorama's height."""
    num_pixels = num_panoramas * 256 * 256 * (2 + gap_proportion)
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
