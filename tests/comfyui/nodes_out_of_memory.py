"""A node for the tests alone: a copy of a model that runs out of memory as often as one says, then recovers."""

import copy

import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import ComfyExtension, io

Model = io.Custom("WRB_MODEL")


class OutOfMemoryModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TestOutOfMemoryModel",
            inputs=[Model.Input("model"), io.Int.Input("failures"), io.Boolean.Input("on_cpu")],
            outputs=[Model.Output()],
        )

    @classmethod
    def execute(cls, model: ModelPatcher, failures: int, on_cpu: bool) -> io.NodeOutput:
        generator = copy.deepcopy(model.model)
        encode = generator.encode

        def fail_first(photos: torch.Tensor) -> object:
            nonlocal failures
            if failures:
                failures -= 1
                if on_cpu:
                    torch.empty(2**60)
                raise torch.OutOfMemoryError("out of memory, as a test wants it")
            return encode(photos)

        generator.encode = fail_first
        return io.NodeOutput(ModelPatcher(generator, model.load_device, model.offload_device))


class OutOfMemoryExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [OutOfMemoryModel]


async def comfy_entrypoint() -> OutOfMemoryExtension:
    return OutOfMemoryExtension()
