"""A node for the tests alone: a copy of a model whose second pass takes until the user cancels."""

import copy
import time

import torch
from comfy import model_management
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import ComfyExtension, io

Model = io.Custom("WRB_MODEL")


class ModelWaitingForCancel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(node_id="TestModelWaitingForCancel", inputs=[Model.Input("model")], outputs=[Model.Output()])

    @classmethod
    def execute(cls, model: ModelPatcher) -> io.NodeOutput:
        generator = copy.deepcopy(model.model)
        encode = generator.encode
        num_passes = 0

        def wait_in_second(photos: torch.Tensor) -> object:
            nonlocal num_passes
            num_passes += 1
            while num_passes == 2 and not model_management.processing_interrupted():
                time.sleep(0.01)
            return encode(photos)

        generator.encode = wait_in_second
        return io.NodeOutput(ModelPatcher(generator, model.load_device, model.offload_device))


class WaitingForCancelExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [ModelWaitingForCancel]


async def comfy_entrypoint() -> WaitingForCancelExtension:
    return WaitingForCancelExtension()
