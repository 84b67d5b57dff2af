"""Weights on disk: recognised by their keys and shapes, loaded into memory of their own, saved as safetensors."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..files import write_tensors
from .config import GeneratorConfig
from .generator import Generator

BUILT_IN = Path(__file__).with_name("built_in.safetensors")
"""The model that comes with the pack."""

CONFIG_KEY = "config"
"""Where the safetensors' metadata holds the configuration as JSON."""

FIRST_KEY = "encoder_stage1_conv1.0.weight"
"""The key by which a generator is recognised; the first number of its shape is the width."""


MOST_UNPACKED = 20
"""How many times its size a packed checkpoint may unpack to: one of weights is hardly smaller for being packed."""


class WeightsError(ValueError):
    """A file holds no usable weights; the message names it, what it seems to be, and what was expected."""


@dataclass(frozen=True)
class WeightsFile:
    """A file that holds a whole generator. Its tensors stay in the mapped file, which nothing may write over meanwhile,
    until `to_generator` copies them."""

    path: Path

    format: str
    """What kind of file it is, in words."""

    config: GeneratorConfig

    state_dict: dict[str, Tensor]
    """Every tensor of the generator, under the generator's own names."""

    metadata: dict[str, str]
    """What else a safetensors file says of itself, such as a model card's facts."""

    @property
    def num_parameters(self) -> int:
        return sum(tensor.numel() for tensor in self.state_dict.values())

    @property
    def dtype(self) -> torch.dtype:
        """That of the first tensor; in the files of this project and of the authors all are alike."""
        return self.state_dict[FIRST_KEY].dtype

    def to_generator(
        self, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = torch.float32
    ) -> Generator:
        """The generator with these weights; see `load_generator`. Of `dtype` None, each tensor is as in the file."""
        generator = _on_meta(self.config).eval().requires_grad_(False)
        # Copied even where a view of the mapped file would do: when another program writes over that file, reading the
        # map is a bus error, which ends the process.
        state_dict = {name: tensor.to(device, dtype, copy=True) for name, tensor in self.state_dict.items()}
        _require_finite(state_dict, self.path)
        generator.load_state_dict(state_dict, assign=True)
        return generator


def load_generator(
    path: str | Path | None = None, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Generator:
    """Load a generator, ready to blend: in eval mode, without gradients.

    Args:
        path: a file that `read_weights` reads; `None` is the built-in model.
        device: where the weights shall lie.
        dtype: their floating-point type.

    Raises:
        WeightsError: if the file holds no whole generator, or a number in it is not finite.
    """
    return read_weights(path).to_generator(device=device, dtype=dtype)


def save_generator(
    generator: Generator,
    path: str | Path,
    *,
    dtype: torch.dtype | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a generator as safetensors, with its configuration in the metadata; an existing file is replaced at once.

    Args:
        generator: what to save.
        path: the file.
        dtype: the floating-point type to save in; `None` keeps the generator's.
        metadata: more to say about the weights, such as a model card's facts.

    Raises:
        WeightsError: if a weight is not finite in `dtype`.
        OSError: if the file cannot be written.
    """
    path = Path(path)
    state_dict = {name: tensor.to("cpu", dtype) for name, tensor in generator.state_dict().items()}
    _require_finite(state_dict, path)
    write_tensors(path, state_dict, {**(metadata or {}), CONFIG_KEY: json.dumps(asdict(generator.config))})


def read_weights(path: str | Path | None = None) -> WeightsFile:
    """Recognise a file of generator weights, whatever its name; `None` is the built-in model.

    Read are safetensors and torch checkpoints (pickled state dicts such as the authors', in the zip format or the one
    before it), at any width and in any floating-point type, also where the state dict lies within other dicts or its
    keys have a prefix (`state_dict`, `generator`, `module.`). Of a pickle nothing but tensors is read, and no code run.
    A file that does not say at which levels it attends has the published weights' `attention_levels`.

    Raises:
        WeightsError: if the file is anything else, or lacks a tensor, or has one too many or one of a wrong shape.
    """
    path = BUILT_IN if path is None else Path(path)
    file_format, tensors, metadata = _read_tensors(path)
    state_dict = _canonical(tensors)
    if not state_dict:
        raise WeightsError(
            f"{path} holds {len(tensors)} tensors ({_examples(tensors)}), and none is called {FIRST_KEY}: "
            "it is of another model; expected are the weights of a wide-range blending generator"
        )
    config = _read_config(path, state_dict, metadata.pop(CONFIG_KEY, None))
    _require_generator(path, state_dict, config)
    return WeightsFile(path, file_format, config, state_dict, metadata)


def _read_tensors(path: Path) -> tuple[str, dict[str, Tensor], dict[str, str]]:
    """What kind of file it is, by its first bytes; its tensors; its metadata."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except FileNotFoundError:
        raise WeightsError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise WeightsError(f"{path} is a folder; expected is a file of weights") from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from error

    if head[8:9] == b"{":
        return "safetensors", *_read_safetensors(path)
    if head.startswith(b"PK\x03\x04"):
        return "torch checkpoint", _read_torch_zip(path), {}
    if head.startswith(b"\x80"):
        return "torch checkpoint of the format before 1.6", _read_pickle(path, mmap=False), {}
    raise WeightsError(f"{path} {_describe_other(head)}; expected are safetensors or a torch checkpoint")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})
    except SafetensorError as error:
        raise WeightsError(f"{path} starts like safetensors but is damaged or cut short ({error})") from error


def _read_torch_zip(path: Path) -> dict[str, Tensor]:
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
    except Exception as error:  # beside BadZipFile, names that are no UTF-8 and offsets out of the file raise others
        raise WeightsError(f"{path} starts like a torch checkpoint but is damaged or cut short ({error})") from error
    if not any(record.filename.endswith("data.pkl") for record in records):
        raise WeightsError(
            f"{path} is a zip archive ({_examples(record.filename for record in records)}), but no torch checkpoint"
        )
    unpacked, size = sum(record.file_size for record in records), path.stat().st_size
    if unpacked > MOST_UNPACKED * size:
        raise WeightsError(
            f"{path} has {size / 1e6:.1f} MB and would unpack to {unpacked / 1e6:.0f} MB; expected are weights"
        )
    # torch maps a record as it lies there, packed or not, and takes a path of this ending for safetensors
    mappable = all(record.compress_type == zipfile.ZIP_STORED for record in records) and path.suffix != ".safetensors"
    return _read_pickle(path, mmap=mappable)


def _read_pickle(path: Path, *, mmap: bool) -> dict[str, Tensor]:
    try:
        if mmap:
            return dict(_flatten(torch.load(path, map_location="cpu", weights_only=True, mmap=True)))
        with path.open("rb") as file:
            return dict(_flatten(torch.load(file, map_location="cpu", weights_only=True)))
    except Exception as error:  # a damaged or hostile pickle can raise anything
        if forbidden := re.search(r"GLOBAL (\S+)", str(error)):
            raise WeightsError(
                f"{path} is a pickle that asks for {forbidden[1]}, which could run code; "
                "it was refused and nothing was run; expected is a state dict of tensors"
            ) from error
        raise WeightsError(
            f"{path} starts like a torch checkpoint but is damaged, cut short or of another kind"
        ) from error


def _flatten(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors within nested dicts, their names joined by dots."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flatten(inner, f"{name}.{key}" if name else str(key))


def _canonical(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The generator's tensors under its own names; of several copies an averaged one (EMA), else the least wrapped."""
    prefixes = [name.removesuffix(FIRST_KEY) for name in tensors if name.endswith(FIRST_KEY)]
    prefix = min(prefixes, key=lambda prefix: ("ema" not in prefix, len(prefix)), default=FIRST_KEY)
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _read_config(path: Path, state_dict: dict[str, Tensor], written: str | None) -> GeneratorConfig:
    try:
        if written is None:
            return GeneratorConfig(width=state_dict[FIRST_KEY].shape[0])
        return GeneratorConfig(**json.loads(written))
    except (ValueError, TypeError, IndexError) as error:
        raise WeightsError(f"{path} is not of a generator that this version knows: {error}") from error


def _require_generator(path: Path, state_dict: dict[str, Tensor], config: GeneratorConfig) -> None:
    expected = _on_meta(config).state_dict()
    of_width = f"a generator of width {config.width}"
    if missing := [name for name in expected if name not in state_dict]:
        raise WeightsError(
            f"{path} lacks {len(missing)} of the {len(expected)} tensors of {of_width}: {_examples(missing)}"
        )
    if unknown := [name for name in state_dict if name not in expected]:
        raise WeightsError(f"{path} has {len(unknown)} tensors that {of_width} does not have: {_examples(unknown)}")
    for name, tensor in state_dict.items():
        if tensor.shape != expected[name].shape:
            raise WeightsError(
                f"{path} has {name} of shape {tuple(tensor.shape)}; expected is {tuple(expected[name].shape)} "
                f"in {of_width}"
            )
        if tensor.is_meta or tensor.layout != torch.strided:
            raise WeightsError(f"{path} has {name} without its numbers, or few of them; expected are ordinary tensors")
        if not tensor.is_floating_point():
            raise WeightsError(f"{path} has {name} of type {tensor.dtype}; expected are floating-point numbers")


def _require_finite(state_dict: dict[str, Tensor], path: Path) -> None:
    for name, tensor in state_dict.items():
        numbers = tensor.bfloat16() if tensor.dtype.itemsize == 1 else tensor  # torch does not compare 8 bits
        extremes = torch.stack(numbers.aminmax())  # unlike isfinite, takes no memory; NaN comes through
        if not extremes.isfinite().all():
            raise WeightsError(
                f"{path}: {name} has NaN or infinite numbers as {tensor.dtype}; expected are finite weights"
            )


def _on_meta(config: GeneratorConfig) -> Generator:
    """A generator that takes no memory for its weights."""
    with torch.device("meta"):
        return Generator(config)


def _describe_other(head: bytes) -> str:
    if not head:
        return "is empty"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, which stands for a file that was not fetched"
    if head.lstrip().startswith(b"<"):
        return "is a web page"
    if head.isascii() and b"\0" not in head:
        return "is a text file"
    return "is of an unknown kind"


def _examples(names: Iterable[str]) -> str:
    first, second, *rest = [*names, "", ""]
    return ", ".join(filter(None, (first, second, "…" if any(rest) else "")))
