"""A node for the tests alone: saves a tiny checkpoint that ComfyUI takes for Stable Diffusion 1.5 inpainting.

Its denoising network has one level and finds no noise anywhere, so that what is to be repainted comes out as noise. Its
image coder keeps every 8th pixel, so that what is not to be repainted can be recognised.
"""

from __future__ import annotations

import folder_paths
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.sd1_clip import SD1ClipModel
from comfy.taesd.taesd import TAESD
from comfy_api.latest import ComfyExtension, io
from torch import Tensor, nn

MODEL_CHANNELS, TEXT_CHANNELS = 320, 768
"""By these ComfyUI recognises Stable Diffusion 1.5."""

INPAINTING_CHANNELS = 4 + 1 + 4
"""The latent, the mask, and the latent of the image without what is masked."""


class TinyCheckpoint(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TestTinyCheckpoint", inputs=[io.String.Input("name")], outputs=[], is_output_node=True
        )

    @classmethod
    def execute(cls, name: str) -> io.NodeOutput:
        with torch.device("meta"):
            denoiser = UNetModel(
                image_size=32,
                in_channels=INPAINTING_CHANNELS,
                out_channels=4,
                model_channels=MODEL_CHANNELS,
                num_res_blocks=[1],
                channel_mult=[1],
                num_heads=8,
                use_spatial_transformer=True,
                transformer_depth=[1],
                transformer_depth_middle=-1,
                transformer_depth_output=[1, 1],
                context_dim=TEXT_CHANNELS,
            )
            texts = SD1ClipModel()
            images = TAESD()
        state_dict = {
            **zeros(denoiser, "model.diffusion_model."),
            **zeros(texts.clip_l, "cond_stage_model."),
            **zeros(images, "first_stage_model."),
            "first_stage_model.vae_scale": torch.ones(()),
        }
        for half, layers in (("encoder", images.taesd_encoder), ("decoder", images.taesd_decoder)):
            for number, layer in enumerate(layers):
                if isinstance(layer, nn.Conv2d):
                    kernel = nn.init.dirac_(torch.empty(layer.weight.shape))
                    state_dict[f"first_stage_model.taesd_{half}.{number}.weight"] = kernel
        folder = folder_paths.get_folder_paths("checkpoints")[0]
        torch.save(state_dict, f"{folder}/{name}")
        return io.NodeOutput()


def zeros(network: nn.Module, prefix: str) -> dict[str, Tensor]:
    """The state dict of a network whose weights are all 0, under a prefix. A file of it stays small: each is one 0."""
    shapes = {name: weight.shape for name, weight in network.state_dict().items()}
    return {f"{prefix}{name}": torch.zeros(()).expand(shape) for name, shape in shapes.items()}


class TinyCheckpointExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [TinyCheckpoint]


async def comfy_entrypoint() -> TinyCheckpointExtension:
    return TinyCheckpointExtension()
