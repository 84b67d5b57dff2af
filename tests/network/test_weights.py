"""What is read as weights, what is refused and in which words, and that nothing is lost on the way."""

from __future__ import annotations

import copy
import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from tests.conftest import MakeGenerator
from wrb.network.generator import Generator
from wrb.network.weights import WeightsError, load_generator, read_weights, save_generator

KEY = "GRB4.path1.0.0.weight"

EIGHT_BITS = [torch.float8_e4m3fn, torch.float8_e5m2]


@pytest.fixture(scope="module")
def published(make_generator: MakeGenerator) -> Generator:
    """As the authors' in all but the width."""
    return make_generator(width=2)


@pytest.fixture
def state_dict(published: Generator) -> dict[str, Tensor]:
    return dict(published.state_dict())


def assert_same_weights(found: Generator, expected: Generator) -> None:
    assert found.config == expected.config
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], tensor, rtol=0, atol=0)


def legacy_save(value: object, path: Path) -> None:
    torch.save(value, path, _use_new_zipfile_serialization=False)


def deflated_save(value: object, path: Path) -> None:
    torch.save(value, path)
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in records.items():
            archive.writestr(name, content)


class TestReading:
    @pytest.mark.parametrize("save", [torch.save, legacy_save, deflated_save, save_file])
    @pytest.mark.parametrize("name", ["Gen", "model.pth", "model.safetensors"])
    def test_any_format_under_any_name(
        self, save: Callable[..., None], name: str, published: Generator, state_dict: dict[str, Tensor], tmp_path: Path
    ) -> None:
        save(state_dict, tmp_path / name)
        assert_same_weights(load_generator(tmp_path / name), published)

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda weights: {"state_dict": weights, "epoch": 3, "optimizer": {"state": {0: torch.ones(2)}}},
            lambda weights: {"module." + name: tensor for name, tensor in weights.items()},
            lambda weights: {"params": {"module.generator." + name: tensor for name, tensor in weights.items()}},
            lambda weights: {"generator": {k: v + 1 for k, v in weights.items()}, "generator_ema": weights},
            lambda weights: {"generator": weights, "discriminator": {"conv1.0.weight": torch.ones(2)}},
        ],
        ids=["dict", "prefix", "both", "averaged", "training state"],
    )
    def test_wrapped(
        self,
        wrap: Callable[[dict[str, Tensor]], dict[str, Any]],
        published: Generator,
        state_dict: dict[str, Tensor],
        tmp_path: Path,
    ) -> None:
        torch.save(wrap(state_dict), tmp_path / "wrapped.pth")
        assert_same_weights(load_generator(tmp_path / "wrapped.pth"), published)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_other_precisions(self, dtype: torch.dtype, state_dict: dict[str, Tensor], tmp_path: Path) -> None:
        torch.save({name: tensor.to(dtype) for name, tensor in state_dict.items()}, tmp_path / "model.pth")
        generator = load_generator(tmp_path / "model.pth")
        assert read_weights(tmp_path / "model.pth").dtype == dtype
        for name, tensor in generator.state_dict().items():
            assert tensor.dtype == torch.float32
            assert torch.equal(tensor, state_dict[name].to(dtype).float())

    @pytest.mark.parametrize("dtype", EIGHT_BITS)
    def test_numbers_of_8_bits(self, dtype: torch.dtype, state_dict: dict[str, Tensor], tmp_path: Path) -> None:
        save_file({name: tensor.to(dtype) for name, tensor in state_dict.items()}, tmp_path / "model.safetensors")
        weights = read_weights(tmp_path / "model.safetensors")
        for wanted in (torch.float32, torch.float16, dtype):
            for name, tensor in weights.to_generator(dtype=wanted).state_dict().items():
                assert tensor.dtype == wanted
                assert torch.equal(tensor.float(), state_dict[name].to(dtype).float())

    def test_comes_ready_to_blend(self, published: Generator, state_dict: dict[str, Tensor], tmp_path: Path) -> None:
        torch.save(state_dict, tmp_path / "model.pth")
        generator = load_generator(tmp_path / "model.pth", dtype=torch.float64)
        assert not any(module.training for module in generator.modules())
        assert not any(parameter.requires_grad for parameter in generator.parameters())
        photo = torch.rand(1, 3, 256, 256)
        expected = copy.deepcopy(published).double()(photo.double(), photo.double(), 1)
        torch.testing.assert_close(generator(photo.double(), photo.double(), 1), expected)

    def test_weights_of_its_own_type_stay_in_the_file(self, state_dict: dict[str, Tensor], tmp_path: Path) -> None:
        """Mapped, not copied: zeros written over the file show in the weights, which could not be with a copy."""
        for save in (torch.save, save_file):
            path = tmp_path / save.__name__
            save(state_dict, path)
            weights = read_weights(path)
            with path.open("r+b") as file:
                file.write(bytes(path.stat().st_size))
            assert all(tensor.abs().sum() == 0 for tensor in weights.state_dict.values())

    def test_a_generator_outlives_its_file(
        self, published: Generator, state_dict: dict[str, Tensor], tmp_path: Path
    ) -> None:
        """In memory of its own: a map of a file that was cut short in place is a bus error, the end of the process."""
        for save in (torch.save, save_file):
            path = tmp_path / save.__name__
            save(state_dict, path)
            generator = load_generator(path)
            path.write_bytes(b"")
            assert_same_weights(generator, published)


class TestSaving:
    def test_round_trip(self, make_generator: MakeGenerator, tmp_path: Path) -> None:
        generator = make_generator(width=4, attention_levels=(1, 2))
        save_generator(generator, tmp_path / "ours.safetensors", metadata={"steps": "1200"})
        assert_same_weights(load_generator(tmp_path / "ours.safetensors"), generator)
        assert read_weights(tmp_path / "ours.safetensors").metadata == {"steps": "1200"}

    def test_configuration_is_json_in_the_metadata(self, published: Generator, tmp_path: Path) -> None:
        save_generator(published, tmp_path / "ours.safetensors")
        with safe_open(tmp_path / "ours.safetensors", "pt") as file:
            assert json.loads(file.metadata()["config"]) == {
                "width": 2,
                "attention_levels": [1],
                "skip_levels": [0, 1, 2, 3, 4],
            }

    def test_half_precision(self, published: Generator, tmp_path: Path) -> None:
        save_generator(published, tmp_path / "half.safetensors", dtype=torch.float16)
        save_generator(published, tmp_path / "full.safetensors")
        assert read_weights(tmp_path / "half.safetensors").dtype == torch.float16
        sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "full")]
        assert sizes[0] < 0.6 * sizes[1]

    def test_onto_the_file_it_was_loaded_from(self, published: Generator, tmp_path: Path) -> None:
        path = tmp_path / "ours.safetensors"
        save_generator(published, path)
        generator = load_generator(path)
        save_generator(generator, path, metadata={"again": "yes"})
        assert_same_weights(generator, published)
        assert_same_weights(load_generator(path), published)

    def test_a_failed_save_leaves_the_old_file_and_nothing_else(self, published: Generator, tmp_path: Path) -> None:
        path = tmp_path / "ours.safetensors"
        save_generator(published, path)
        before = path.read_bytes()
        with pytest.raises(TypeError):
            save_generator(published, path, metadata={"steps": 3})  # type: ignore[dict-item]
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]

    def test_refuses_weights_too_large_for_half_precision(self, make_generator: MakeGenerator, tmp_path: Path) -> None:
        generator = make_generator(width=2)
        generator.state_dict()[KEY].fill_(1e6)
        with pytest.raises(WeightsError, match=f"{KEY} has NaN or infinite numbers as torch.float16"):
            save_generator(generator, tmp_path / "half.safetensors", dtype=torch.float16)
        assert not list(tmp_path.iterdir())


class TouchesAFile:
    """Creates a file when it is unpickled by other than safe means."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
class TestRefusing:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is empty"),
            (b"dear diary", "is a text file"),
            (b"\n<!DOCTYPE html><html>", "is a web page"),
            (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
            (b"\xff\xd8\xff\xe0\x00\x10JFIF", "unknown kind"),
            (pickle.dumps({"a": 1}), "damaged, cut short or of another kind"),
            (pickle.dumps({"a": 1}, protocol=0), "is a text file"),
        ],
    )
    def test_files_of_other_kinds(self, content: bytes, message: str, tmp_path: Path) -> None:
        path = tmp_path / "Gen"
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=message) as error:
            load_generator(path)
        assert str(path) in str(error.value)

    def test_a_folder_and_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match="is a folder"):
            load_generator(tmp_path)
        with pytest.raises(WeightsError, match="there is no file"):
            load_generator(tmp_path / "absent")

    @pytest.mark.parametrize("save", [torch.save, legacy_save, save_file])
    @pytest.mark.parametrize("part", [0.02, 0.5, 0.999])
    def test_a_truncated_file(
        self, save: Callable[..., None], part: float, state_dict: dict[str, Tensor], tmp_path: Path
    ) -> None:
        path = tmp_path / "Gen"
        save(state_dict, path)
        with path.open("r+b") as file:
            file.truncate(int(part * path.stat().st_size))
        with pytest.raises(WeightsError, match="cut short"):
            load_generator(path)

    def test_a_zip_that_is_no_checkpoint(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "Gen", "w") as archive:
            archive.writestr("holiday.jpg", b"...")
        with pytest.raises(WeightsError, match=r"zip archive \(holiday.jpg\), but no torch checkpoint"):
            load_generator(tmp_path / "Gen")

    @pytest.mark.parametrize("save", [torch.save, legacy_save, save_file])
    def test_another_model(self, save: Callable[..., None], tmp_path: Path) -> None:
        save({"conv1.0.weight": torch.ones(3), "conv1.0.bias": torch.ones(3)}, tmp_path / "Dis")
        with pytest.raises(WeightsError, match=r"2 tensors \(conv1.0.*of another model"):
            load_generator(tmp_path / "Dis")

    def test_a_checkpoint_without_tensors(self, tmp_path: Path) -> None:
        torch.save(["epoch", 3], tmp_path / "list.pth")
        with pytest.raises(WeightsError, match="0 tensors"):
            load_generator(tmp_path / "list.pth")

    def test_a_missing_tensor(self, state_dict: dict[str, Tensor], tmp_path: Path) -> None:
        del state_dict[KEY]
        torch.save(state_dict, tmp_path / "Gen")
        with pytest.raises(WeightsError, match=f"lacks 1 of the 400 tensors of a generator of width 2: {KEY}"):
            load_generator(tmp_path / "Gen")

    def test_a_tensor_too_many(self, state_dict: dict[str, Tensor], tmp_path: Path) -> None:
        torch.save(state_dict | {"GRB6.weight": torch.ones(1)}, tmp_path / "Gen")
        with pytest.raises(WeightsError, match=r"has 1 tensors that .* does not have: GRB6.weight"):
            load_generator(tmp_path / "Gen")

    def test_a_wrong_shape(self, state_dict: dict[str, Tensor], tmp_path: Path) -> None:
        state_dict[KEY] = state_dict[KEY][:5]
        torch.save(state_dict, tmp_path / "Gen")
        with pytest.raises(WeightsError, match=rf"{KEY} of shape \(5, 32, 3, 1\); expected is \(32, 32, 3, 1\)"):
            load_generator(tmp_path / "Gen")

    @pytest.mark.parametrize("shape", [(), (3, 3, 4, 4)])
    def test_an_impossible_width(self, shape: tuple[int, ...], state_dict: dict[str, Tensor], tmp_path: Path) -> None:
        torch.save(state_dict | {"encoder_stage1_conv1.0.weight": torch.ones(shape)}, tmp_path / "Gen")
        with pytest.raises(WeightsError, match="not of a generator that this version knows"):
            load_generator(tmp_path / "Gen")

    @pytest.mark.parametrize(
        "config",
        ["[]", "{", '{"width": 2, "depth": 3}', '{"width": "2"}', '{"width": 4294967296}', f'{{"width": {10**30}}}'],
    )
    def test_a_configuration_of_another_version(
        self, config: str, state_dict: dict[str, Tensor], tmp_path: Path
    ) -> None:
        save_file(state_dict, tmp_path / "Gen", {"config": config})
        with pytest.raises(WeightsError, match="not of a generator that this version knows"):
            load_generator(tmp_path / "Gen")

    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize("change", [lambda tensor: tensor.to("meta"), Tensor.to_sparse], ids=["meta", "sparse"])
    def test_tensors_without_all_their_numbers(
        self, change: Callable[[Tensor], Tensor], state_dict: dict[str, Tensor], tmp_path: Path
    ) -> None:
        torch.save({**state_dict, KEY: change(state_dict[KEY])}, tmp_path / "Gen")
        with pytest.raises(WeightsError, match=rf"Gen has {KEY} without its numbers"):
            read_weights(tmp_path / "Gen")

    def test_a_zip_bomb(self, state_dict: dict[str, Tensor], tmp_path: Path) -> None:
        deflated_save({**state_dict, "more": torch.zeros(10**7)}, tmp_path / "Gen")
        with pytest.raises(WeightsError, match=r"Gen has .* MB and would unpack to 4\d MB"):
            read_weights(tmp_path / "Gen")

    def test_a_zip_archive_whose_names_are_damaged(self, state_dict: dict[str, Tensor], tmp_path: Path) -> None:
        torch.save(state_dict, tmp_path / "Gen")
        content = (tmp_path / "Gen").read_bytes()
        place = content.index(b"PK\x01\x02")
        content = content[: place + 8] + b"\x00\x08" + content[place + 10 :]  # says that names are UTF-8
        (tmp_path / "Gen").write_bytes(content[: place + 46] + b"\xff" + content[place + 47 :])
        with pytest.raises(WeightsError, match="starts like a torch checkpoint but is damaged or cut short"):
            read_weights(tmp_path / "Gen")

    def test_whole_numbers(self, state_dict: dict[str, Tensor], tmp_path: Path) -> None:
        torch.save(state_dict | {KEY: state_dict[KEY].int()}, tmp_path / "Gen")
        with pytest.raises(WeightsError, match=rf"{KEY} of type torch.int32"):
            load_generator(tmp_path / "Gen")

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
    def test_numbers_that_are_not_finite(self, number: float, state_dict: dict[str, Tensor], tmp_path: Path) -> None:
        state_dict[KEY] = state_dict[KEY].clone()
        state_dict[KEY][3, 2, 1, 0] = number
        save_file(state_dict, tmp_path / "Gen")
        with pytest.raises(WeightsError, match=f"{KEY} has NaN or infinite numbers"):
            load_generator(tmp_path / "Gen")

    @pytest.mark.parametrize("dtype", EIGHT_BITS)
    def test_numbers_of_8_bits_that_are_not_finite(
        self, dtype: torch.dtype, state_dict: dict[str, Tensor], tmp_path: Path
    ) -> None:
        damaged = state_dict[KEY].clone()
        damaged[3, 2, 1, 0] = float("nan")
        save_file(state_dict | {KEY: damaged.to(dtype)}, tmp_path / "Gen")
        weights = read_weights(tmp_path / "Gen")
        for wanted in (torch.float32, None):
            with pytest.raises(WeightsError, match=f"{KEY} has NaN or infinite numbers"):
                weights.to_generator(dtype=wanted)

    @pytest.mark.parametrize("save", [torch.save, legacy_save])
    def test_a_pickle_that_would_run_code(
        self, save: Callable[..., None], state_dict: dict[str, Tensor], tmp_path: Path
    ) -> None:
        touched = tmp_path / "touched"
        save(OrderedDict(state_dict, surprise=TouchesAFile(touched)), tmp_path / "Gen")
        with pytest.raises(WeightsError, match="nothing was run"):
            load_generator(tmp_path / "Gen")
        assert not touched.exists()
        torch.load(tmp_path / "Gen", weights_only=False)
        assert touched.exists()  # so it was a real trap

    @pytest.mark.parametrize("protocol", [2, 3, 4, 5])
    def test_a_plain_pickle_that_would_run_code(self, protocol: int, tmp_path: Path) -> None:
        touched = tmp_path / "touched"
        (tmp_path / "Gen").write_bytes(pickle.dumps(TouchesAFile(touched), protocol))
        with pytest.raises(WeightsError, match=r"nothing was run|damaged, cut short or of another kind"):
            load_generator(tmp_path / "Gen")
        assert not touched.exists()
