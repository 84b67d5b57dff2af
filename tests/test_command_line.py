"""The command line as a user meets it: files, words and exit codes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests import scenery
from tests.golden.seeded import seeded_image
from wrb.__main__ import main
from wrb.blend import Blend, blend
from wrb.images import read_image, write_image
from wrb.network.generator import Generator
from wrb.network.weights import load_generator, read_weights, save_generator
from wrb.resampling import resize
from wrb.sequence import blend_sequence


@pytest.fixture(scope="module")
def weights(tiny_generator: Generator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_generator(tiny_generator, path, metadata={"trained on": "nothing"})
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with two folders of two photos each."""
    for seed, name in enumerate(("left/a.png", "left/b.png", "right/c.png", "right/d.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_image(seeded_image(seed, size=40, width=50), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str | Path) -> int:
    """Runs a command in this process, and returns the exit code, which argparse's own exits carry too."""
    with pytest.raises(SystemExit) as exit_:
        sys.exit(main([str(argument) for argument in arguments]))
    assert isinstance(exit_.value.code, int)
    return exit_.value.code


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


class TestTwoPhotos:
    def test_in_a_process_of_its_own(self, folder: Path, weights: Path, request: pytest.FixtureRequest) -> None:
        command = [sys.executable, "-m", "wrb", "left/a.png", "right/c.png", "-o", "out.png", "--gap", "60"]
        finished = subprocess.run(
            [*command, "--device", "cpu", "--weights", weights],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(request.config.rootpath)},
            check=False,
        )
        assert (finished.returncode, finished.stdout, finished.stderr) == (0, "out.png\n", "")
        left, right, panorama = (read_image(folder / name) for name in ("left/a.png", "right/c.png", "out.png"))
        assert torch.equal(panorama[..., :50], left)
        assert torch.equal(panorama[..., -50:], right)
        expected = blend(load_generator(weights), left, right, 60).panorama
        torch.testing.assert_close(panorama, expected, atol=1.01 / 255, rtol=0)

    def test_options_reach_the_blend(self, folder: Path, weights: Path) -> None:
        common = ("left/a.png", "right/c.png", "--weights", weights, "--device", "cpu")
        assert run(*common, "-o", "redraw.png", "--photos", "redraw", "--precision", "bf16") == 0
        assert run(*common, "-o", "feather.jpg", "--photos", "feather", "--feather", "5") == 0
        redraw, feather = read_image(Path("redraw.png")), read_image(Path("feather.jpg"))
        assert redraw.shape == feather.shape == (1, 3, 40, 50 + 40 + 50)
        left = read_image(Path("left/a.png"))
        assert (redraw[..., 20:50] - left[..., 20:]).abs().mean() > 0.02
        assert (feather[..., :44] - left[..., :44]).abs().mean() < 0.02
        assert run(*common, "-o", "down.png", "--direction", "down", "--gap", "30") == 0
        assert read_image(Path("down.png")).shape == (1, 3, 40 + 30 + 40, 50)

    def test_detail_is_a_matter_of_taste(self, folder: Path, weights: Path) -> None:
        rough = torch.rand(1, 3, 80, 80)
        write_image(rough, Path("rough.png"))
        common = ("rough.png", "rough.png", "--weights", weights, "--device", "cpu")
        for name, *options in (("plain.png", "--detail", "0"), ("half.png", "--detail", "0.5"), ("full.png",)):
            assert run(*common, "-o", name, *options) == 0
        plain, half, full = (
            read_image(Path(name))[..., 80:160].diff(dim=-1).abs().mean()
            for name in ("plain.png", "half.png", "full.png")
        )
        assert 2 * plain < half < full

    def test_layers_meet_unless_told_otherwise(self, folder: Path, weights: Path) -> None:
        for name, skyline in (("high.png", 0.3), ("low.png", 0.6)):
            write_image(scenery.layers(96, 96, skyline=skyline), Path(name))
        for name, *options in (("met.png",), ("apart.png", "--layers", "0")):
            assert run("high.png", "low.png", "--weights", weights, "-o", name, *options) == 0
        met, apart = (read_image(Path(name))[..., 96:192] for name in ("met.png", "apart.png"))
        assert (met - apart).abs().max() > 0.1

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ("absent.png right/c.png -o out.png", "there is no file or folder absent.png"),
            (
                "left/a.png right -o out.png",
                "right is a folder; give two folders, whose photos are paired, or photos alone",
            ),
            ("left/a.png right/c.png", "required: -o"),
            ("left/a.png right/c.png -o out.txt", "out.txt does not end in the extension of an image format"),
            ("left/a.png right/c.png -o left/a.png/out.png", "left/a.png"),
            ("left/a.png right/c.png -o out.ico", "out.ico: ICO cannot hold a panorama"),
            ("left/a.png right/c.png -o out.gif", "out.gif: GIF cannot hold a panorama"),
            ("left/a.png right/c.png -o out.png --mask mask.ico", "mask.ico: ICO cannot hold"),
            (f"left/a.png right/c.png -o {300 * 'a'}.png", "File name too long"),
            ("wide.png wide.png -o out.webp", "out.webp: the image is 18040×40 px, and WEBP holds at most 16383 px"),
            ("wide.png wide.png -o new/out.png --gap 9999", "the gap is 9999 px wide"),
            ("wide.png wide.png -o folder.png", "folder.png is a folder; name a file"),
            ("restore wide.png left/a.png right/c.png -o out.ico", "out.ico: ICO cannot hold"),
            ("left/a.png right/c.png -o left/a.png", "left/a.png is one of the photos"),
            ("left right left -o out", "left is a folder; give two folders"),
            ("left/a.png -o out.png", "left/a.png is a single photo; give at least two, or --loop"),
            ("left/a.png right/c.png -o out.png --gap -9", "--gap: -9 is not a number of pixels"),
            ("left/a.png right/c.png -o out.png --gap wide", "--gap: wide is not a number of pixels"),
            ("left/a.png right/c.png -o out.png --gap 20,30", "--gap has 2 widths for 1 gaps"),
            ("left right -o out --gap 20,30", "--gap has 2 widths for 1 gaps"),
            ("left/a.png left/b.png right/c.png -o out.png --gap 20,30 --loop", "--gap has 2 widths for 3 gaps"),
            ("left/a.png left/b.png right/c.png -o out.png --gap 20,9", "gap 2 is 9 px wide"),
            ("left/a.png right/c.png -o out.png --quality 80", "--quality is for JPEG, WebP and AVIF"),
            ("left/a.png right/c.png -o out.jpg --quality 0", "0 is not a whole number from 1 to 100"),
            ("left/a.png right/c.png -o out.png --mask out.png", "out.png is the panorama; its mask needs"),
            ("left/a.png right/c.png -o out.png --mask left/a.png", "left/a.png is one of the photos"),
            ("left/a.png right/c.png -o out.png --mask mask", "mask does not end in the extension"),
            ("left right -o out --mask out", "--mask is the folder for panoramas"),
            ("left right -o out --loop", "--loop is for several photos"),
            ("left right -o out --quality 9", "--quality is for several photos"),
            ("restore absent.png left/a.png right/c.png -o out.png", "there is no file absent.png"),
            ("restore left/a.png left/a.png right/c.png -o out.png", "the panorama is 50×40 px"),
            ("left/a.png right/c.png -o out.png --gap 100000", "100000"),
            ("left/a.png right/c.png -o out.png --feather 9", "--feather is for --photos feather"),
            ("left/a.png right/c.png -o out.png --detail 2", "--detail is 2.0; it goes from 0 to 1"),
            ("left/a.png right/c.png -o out.png --layers -1", "--layers is -1.0; it goes from 0 to 1"),
            ("left/a.png right/c.png -o out.png --random-pairs", "are for two folders"),
            ("left/a.png right/c.png -o out.png --device abacus", "device abacus cannot be used here"),
            ("left/a.png right/c.png -o out.png --weights left/a.png", "left/a.png is of an unknown kind"),
            ("left/a.png broken.png -o out.png", "broken.png cannot be read as an image"),
            ("left right -o out --seed 3", "--seed is for --random-pairs"),
            ("info absent", "there is no file absent"),
            ("convert left/a.png out.pth", "out.pth does not end in .safetensors"),
            ("convert left/a.png out.safetensors", "left/a.png is of an unknown kind"),
        ],
    )
    def test_a_mistake_is_told_in_one_line_before_the_first_pass(
        self,
        arguments: str,
        message: str,
        folder: Path,
        weights: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        (folder / "broken.png").write_text("no image")
        (folder / "folder.png").mkdir()
        write_image(torch.zeros(1, 3, 40, 9000), folder / "wide.png")
        monkeypatch.setattr("wrb.__main__.blend", None)  # told before the first pass
        monkeypatch.setattr("wrb.painter.Painter.encode", None)
        before = names(folder)
        command = arguments.split()
        if "-o" in command and "--weights" not in command and command[0] != "restore":
            command += ["--weights", str(weights)]
        assert run(*command) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert message in printed.err
        assert printed.err.count("\n") == 1
        assert names(folder) == before


class TestSeveralPhotos:
    PHOTOS = ("left/a.png", "left/b.png", "right/c.png")

    def test_are_one_panorama_as_of_the_sequence(self, folder: Path, weights: Path) -> None:
        arguments = (*self.PHOTOS, "--weights", weights, "--device", "cpu")
        assert run(*arguments, "-o", "out.png", "--gap", "20,30,0", "--loop", "--mask", "mask.png") == 0
        photos = [read_image(Path(photo)) for photo in self.PHOTOS]
        expected = blend_sequence(load_generator(weights), photos, [20, 30, None], loop=True)
        torch.testing.assert_close(read_image(Path("out.png")), expected.panorama, atol=1.01 / 255, rtol=0)
        assert torch.equal(read_image(Path("mask.png"))[:, 0], expected.gap_mask)
        with Image.open("mask.png") as mask:
            assert mask.mode == "L"

    def test_options_reach_the_sequence(self, folder: Path, weights: Path) -> None:
        options = ("--gap", "30", "--direction", "down", "--photos", "feather", "--feather", "5", "--detail", "0.5")
        arguments = ("left/a.png", *options, "right/c.png", "left/b.png")  # photos may stand on both sides of options
        assert run(*arguments, "-o", "out.png", "--weights", weights, "--device", "cpu") == 0
        photos = [read_image(Path(name)) for name in ("left/a.png", "right/c.png", "left/b.png")]
        expected = blend_sequence(
            load_generator(weights), photos, 30, direction="down", photo_mode="feather", feather=5, detail=0.5
        )
        torch.testing.assert_close(read_image(Path("out.png")), expected.panorama, atol=1.01 / 255, rtol=0)

    def test_one_may_lead_into_itself(self, folder: Path, weights: Path) -> None:
        assert run("left/a.png", "--loop", "-o", "out.png", "--weights", weights) == 0
        assert read_image(Path("out.png")).shape == (1, 3, 40, 90)

    def test_photos_are_held_one_at_a_time(self, folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        alive: list[weakref.ref[torch.Tensor]] = []
        most = 0

        def counting(path: Path) -> torch.Tensor:
            nonlocal most
            photo = read_image(path)
            alive.append(weakref.ref(photo))
            most = max(most, sum(reference() is not None for reference in alive))
            return photo

        monkeypatch.setattr("wrb.images.read_image", counting)
        assert run(*self.PHOTOS * 4, "-o", "out.png", "--weights", weights, "--gap", "10") == 0
        assert len(alive) == 24
        assert most <= 2

    def test_a_large_panorama_lies_in_a_file_meanwhile(
        self, folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        arguments = (*self.PHOTOS, "--weights", weights, "--device", "cpu", "--mask", "mask.png")
        assert run(*arguments, "-o", "small.png") == 0
        mask = Path("mask.png").read_bytes()
        monkeypatch.setattr("wrb.images.LARGE", 1000)
        monkeypatch.setattr("wrb.images.STRIP", 7)
        monkeypatch.setattr("wrb.__main__.LARGE", 1000)
        assert run(*arguments, "-o", "large.png") == 0
        assert torch.equal(read_image(Path("large.png")), read_image(Path("small.png")))
        assert Path("mask.png").read_bytes() != mask  # written in strips too
        assert names(folder) == {"left", "right", "mask.png", "small.png", "large.png"}

    def test_a_disk_too_small_for_it_is_told_beforehand(
        self, folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("wrb.__main__.LARGE", 1000)
        monkeypatch.setattr("shutil.disk_usage", lambda folder: shutil._ntuple_diskusage(9, 9, 9))
        assert run(*self.PHOTOS, "-o", "out.png", "--weights", weights) == 2
        assert "has 0.0 GB left" in capsys.readouterr().err

    def test_restoring_them(self, folder: Path, weights: Path) -> None:
        common = ("--gap", "20,30,40", "--loop", "--direction", "down")
        assert run(*self.PHOTOS, *common, "-o", "out.png", "--weights", weights) == 0
        made = read_image(Path("out.png"))
        write_image(made * 0.8, Path("changed.png"))
        assert run("restore", "changed.png", *self.PHOTOS, *common, "-o", "restored.png", "--mask", "mask.png") == 0
        restored, mask = read_image(Path("restored.png")), read_image(Path("mask.png"))
        assert torch.equal(restored[mask == 0], made[mask == 0])
        assert mask.mean() == pytest.approx(90 / 210)
        assert run("restore", "changed.png", *self.PHOTOS, *common, "-o", "soft.png", "--feather", "9") == 0
        assert not torch.equal(read_image(Path("soft.png"))[mask == 0], made[mask == 0])
        write_image(resize(made, 420, 100), Path("changed.png"))
        assert run("restore", "changed.png", *self.PHOTOS, *common, "-o", "sharp.png", "--detail", "2") == 2
        assert run("restore", "changed.png", *self.PHOTOS, *common, "-o", "restored.webp", "--quality", "30") == 0
        assert read_image(Path("restored.webp")).shape == (1, 3, 420, 100)

    def test_folders_are_made(self, folder: Path, weights: Path) -> None:
        assert run(*self.PHOTOS, "-o", "new/deep/out.png", "--mask", "masks/out.png", "--weights", weights) == 0
        assert names(folder / "new/deep") == names(folder / "masks") == {"out.png"}

    def test_a_name_as_long_as_a_file_system_takes(self, folder: Path, weights: Path) -> None:
        name = 83 * "山" + "aa.png"
        assert run("left/a.png", "right/c.png", "-o", name, "--weights", weights) == 0
        assert name in names(folder)

    @pytest.mark.parametrize("extension", ["jpg", "webp"])
    def test_quality(self, extension: str, folder: Path, weights: Path) -> None:
        sizes = []
        for quality in ("10", "95", "100"):
            name = f"out{quality}.{extension}"
            assert run(*self.PHOTOS, "-o", name, "--quality", quality, "--weights", weights) == 0
            sizes.append(Path(name).stat().st_size)
        assert sizes[0] < sizes[1] < sizes[2]


class TestFolders:
    def test_pairs_by_name_order_and_resumes(
        self, folder: Path, weights: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        command = ("left", "right", "-o", "out/deep", "--weights", weights, "--gap", "10")
        assert run(*command) == 0
        out = folder / "out/deep"
        assert names(out) == {"a__c.png", "b__d.png"}
        assert torch.equal(read_image(out / "b__d.png")[..., :50], read_image(Path("left/b.png")))
        printed = capsys.readouterr().err
        assert "2/2" in printed
        assert "the names differ, so pairs are made by their order: a.png and c.png, b.png and d.png\n" in printed

        (out / "a__c.png").unlink()
        (out / "b__d.png").write_text("there already")
        assert run(*command) == 0
        assert read_image(out / "a__c.png").shape == (1, 3, 40, 110)
        assert (out / "b__d.png").read_text() == "there already"

        assert run(*command[:4], "--weights", "not needed when there is nothing to do") == 0

    def test_pairs_of_the_same_names_meet_and_nothing_is_said(
        self, folder: Path, weights: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path("right/c.png").rename("right/B.png")
        Path("right/d.png").rename("right/a.png")
        assert run("left", "right", "-o", "out", "--weights", weights, "--gap", "10") == 0
        assert names(folder / "out") == {"a__a.png", "b__B.png"}
        assert "differ" not in capsys.readouterr().err

    def test_random_pairs_in_both_orders(self, folder: Path, weights: Path) -> None:
        command = ("left", "left", "--random-pairs", "--seed", "5", "--both-orders", "--weights", weights, "-o", "out")
        assert run(*command) == 0
        assert names(folder / "out") == {"a__b.png", "b__a.png", "b__a_swapped.png", "a__b_swapped.png"}

    def test_a_photo_that_is_not_read_is_named_and_shifts_no_pair(
        self, folder: Path, weights: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for side, names_ in (("left", ("1.png", "2.nef")), ("right", ("1.png", "2.png"))):
            for old, new in zip(sorted((folder / side).iterdir()), names_, strict=True):
                old.rename(folder / side / new)
        assert run("left", "right", "-o", "out", "--weights", weights) == 1
        assert names(folder / "out") == {"1__1.png"}
        assert "left/2.nef cannot be read as an image: camera raw is not read here" in capsys.readouterr().err

    def test_masks_have_a_folder_too(self, folder: Path, weights: Path) -> None:
        assert run("left", "right", "-o", "out", "--mask", "masks", "--gap", "10", "--weights", weights) == 0
        assert names(folder / "masks") == names(folder / "out") == {"a__c.png", "b__d.png"}
        assert read_image(Path("masks/a__c.png")).mean() == pytest.approx(10 / 110)

    def test_a_bad_file_is_reported_and_skipped(
        self, folder: Path, weights: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path("left/a.png").write_bytes(b"no image")
        assert run("left", "right", "-o", "out", "--weights", weights) == 1
        assert names(folder / "out") == {"b__d.png"}
        printed = capsys.readouterr()
        assert "left/a.png and right/c.png skipped: left/a.png cannot be read as an image" in printed.err
        assert "1 of 2 panoramas" in printed.out

    @pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), None])
    def test_a_pair_too_large_for_the_memory_is_named_and_the_others_are_made(
        self,
        error: Exception | None,
        folder: Path,
        weights: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        first = read_image(Path("left/a.png"))

        def blend_in_little_memory(
            generator: Generator, left: torch.Tensor, right: torch.Tensor, *arguments: Any, **options: Any
        ) -> Blend:
            if torch.equal(left, first):
                if error:
                    raise error
                torch.empty(2**58)  # torch's own error on a CPU is a RuntimeError
            return blend(generator, left, right, *arguments, **options)

        monkeypatch.setattr("wrb.__main__.blend", blend_in_little_memory)
        assert run("left", "right", "-o", "out", "--weights", weights) == 1
        assert names(folder / "out") == {"b__d.png"}
        assert "left/a.png and right/c.png skipped: there is not enough memory. Close" in capsys.readouterr().err
        assert run("left/a.png", "right/c.png", "-o", "out.png", "--weights", weights) == 2
        assert "wrb: there is not enough memory. Close" in capsys.readouterr().err

    def test_a_fault_of_the_program_is_no_mistake_of_the_user(
        self, folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*arguments: object, **options: object) -> None:
            raise RuntimeError("shapes do not match")

        monkeypatch.setattr("wrb.__main__.blend", fail)
        for arguments in ("left right -o out", "left/a.png right/c.png -o out.png"):
            with pytest.raises(RuntimeError, match="shapes do not match"):
                main([*arguments.split(), "--weights", str(weights)])

    def test_unequal_folders_and_empty_ones_are_mistakes(
        self, folder: Path, weights: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path("right/d.png").unlink()
        assert run("left", "right", "-o", "out", "--weights", weights) == 2
        assert "2 left and 1 right photos" in capsys.readouterr().err
        Path("right/c.png").unlink()
        assert run("left", "right", "-o", "out", "--weights", weights) == 2
        assert "no images in right" in capsys.readouterr().err
        assert not Path("out").exists()


class TestWeights:
    def test_info(self, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("info", weights) == 0
        printed = [line.split(":", maxsplit=1) for line in capsys.readouterr().out.splitlines()]
        assert {name: fact.strip() for name, fact in printed} == {
            "file": str(weights),
            "format": "safetensors",
            "width": "2",
            "attention levels": "1, 3",
            "parameters": "0.3 million, float32",
            "trained on": "nothing",
        }

    def test_convert(self, weights: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        torch.save({"state_dict": load_generator(weights).state_dict()}, "Gen")
        assert run("convert", "Gen", "full.safetensors") == 0
        assert run("convert", weights, "half.safetensors", "--dtype", "fp16") == 0
        full, half = read_weights(Path("full.safetensors")), read_weights(Path("half.safetensors"))
        assert (full.dtype, full.metadata) == (torch.float32, {})
        assert (half.dtype, half.metadata) == (torch.float16, {"trained on": "nothing"})
        assert half.config.attention_levels == (1, 3)
        for name, tensor in load_generator(weights).state_dict().items():
            assert torch.equal(full.state_dict[name], tensor)
            assert torch.equal(half.state_dict[name], tensor.half())

    @pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
    def test_convert_of_numbers_of_8_bits(self, dtype: torch.dtype, weights: Path, folder: Path) -> None:
        state_dict = {name: tensor.to(dtype) for name, tensor in read_weights(weights).state_dict.items()}
        state_dict["feature_in.0.bias"] = state_dict["feature_in.0.bias"].float()  # as is done with few numbers
        torch.save(state_dict, "Gen")
        assert run("info", "Gen") == 0
        assert run("convert", "Gen", "same.safetensors") == 0
        assert run("convert", "Gen", "half.safetensors", "--dtype", "fp16") == 0
        same, half = read_weights(Path("same.safetensors")), read_weights(Path("half.safetensors"))
        for name, tensor in state_dict.items():
            assert same.state_dict[name].dtype == tensor.dtype
            assert torch.equal(same.state_dict[name].float(), tensor.float())
            assert torch.equal(half.state_dict[name], tensor.half())
        assert run("left/a.png", "right/c.png", "-o", "out.png", "--gap", "10", "--weights", "same.safetensors") == 0


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("--gap", "--random-pairs", "info", "convert", "restore", "Exit codes"))
    assert "a.jpg b.jpg c.jpg d.jpg --loop -o panorama.png" in text
    assert "lefts/ rights/ -o panoramas/" in text


def test_pip_installs_a_command_of_its_own() -> None:
    project = Path(__file__).parents[1] / "pyproject.toml"
    assert 'wrb = "wrb.__main__:main"' in project.read_text(encoding="utf-8")


def test_a_panorama_is_an_ordinary_image(folder: Path, weights: Path) -> None:
    assert run("left/a.png", "right/c.png", "-o", "out.png", "--weights", weights) == 0
    with Image.open("out.png") as image:
        assert (image.mode, image.size) == ("RGB", (140, 40))


def test_a_fault_of_the_program_is_not_hidden(folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr("wrb.__main__.blend", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        main(["left/a.png", "right/c.png", "-o", "out.png", "--weights", str(weights)])
