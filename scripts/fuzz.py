"""Feed damaged, lying and hostile inputs to all that reads files or takes tensors.

    python -m scripts.fuzz --weights 100000 --blends 10000 --images 10000

Weights are files cut, spliced and overwritten, with headers that lie, zip bombs and pickles with code; blends are
tensors of any rank, type, stride and value, to `blend`, `blend_sequence` and `restore_photos`; images are mutated files
of every format that Pillow writes. Each must end in a right result or in the error that is promised, in time, and start
no program, open no connection and write no file. What an input is depends on --seed and its number alone:
`--images 1 --first 4711` makes input 4711 again. What is found is printed at once. Exits with 1 if anything is found.
"""

from __future__ import annotations

import argparse
import faulthandler
import functools
import io
import json
import math
import multiprocessing
import os
import pickle
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save as safetensors_bytes
from torch import Tensor
from tqdm import tqdm

from wrb import Blend, Generator, GeneratorConfig, blend, blend_sequence, restore_photos
from wrb.colours import srgb_profile
from wrb.files import accept_any_text
from wrb.images import read_image, upright_size
from wrb.network.weights import CONFIG_KEY, FIRST_KEY, WeightsError, read_weights

CHUNK = 5000
"""Inputs that one process works through; a fresh one takes over then, and after a crash."""

SLOWEST = 60.0
"""Seconds of the processor that an input may take: a few bytes may be an image of hundreds of megapixels, honestly."""

HANGING = 1800.0
"""Seconds after which the process is ended that works on an input: long, as others may keep the machine busy."""

FOUND = "found"
"""How an input is counted that ended otherwise than it should."""

FORBIDDEN = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "subprocess.Popen", "socket.connect")
"""Events of Python's audit hooks that no input may cause; nor may one open a file to write."""

ODD_NUMBERS = (0, -1, 1, 2, 3, 7, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**64, 10**30, 1.5, math.nan, math.inf)

ODD_VALUES: tuple[Any, ...] = (*ODD_NUMBERS, None, True, "", "16", [], [1], [[]], {}, {"a": 1}, [10**9] * 4, "x" * 5000)

Random = np.random.Generator
Case = Callable[[Random, Path], str]


class Hostile:
    """Runs a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.reduced


def chosen(random: Random, options: Any) -> Any:
    return options[random.integers(len(options))]


def mutated(random: Random, content: bytes, others: list[bytes]) -> bytes:
    """Bytes with one to four changes of the kinds that damage files, most of them near the beginning."""
    for _ in range(random.integers(1, 5)):
        near = min(len(content), 2000) if random.random() < 0.7 else len(content)
        place = int(random.integers(near + 1))
        length = int(2 ** random.uniform(0, 12))
        match random.integers(8):
            case 0:
                content = content[:place]
            case 1:
                content = content[:place] + random.bytes(length) + content[place:]
            case 2:
                content = content[:place] + content[place + length :]
            case 3:
                content = content[:place] + content[place : place + length] + content[place:]
            case 4:
                content = content[:place] + bytes([chosen(random, (0, 255))]) * length + content[place + length :]
            case 5:
                other = chosen(random, others)
                content = content[:place] + other[int(random.integers(len(other) + 1)) :]
            case 6:
                number = int(chosen(random, [odd for odd in ODD_NUMBERS if isinstance(odd, int) and 0 <= odd < 2**64]))
                layout = chosen(random, ("<H", ">H", "<I", ">I", "<Q", ">Q"))
                packed = struct.pack(layout, number % 256 ** struct.calcsize(layout))
                content = content[:place] + packed + content[place + len(packed) :]
            case _:
                damaged = bytearray(content)
                for _ in range(random.integers(1, 20)):
                    if damaged:
                        damaged[int(random.integers(min(near, len(damaged))))] ^= 1 << int(random.integers(8))
                content = bytes(damaged)
    return content


@functools.cache
def generator_and_state() -> tuple[Generator, dict[str, Tensor]]:
    """The narrowest generator, at random."""
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(width=2, attention_levels=(1, 3))).eval().requires_grad_(False)
    return generator, dict(generator.half().state_dict())


def saved(value: Any, *, legacy: bool = False) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


@functools.cache
def whole_weights() -> list[bytes]:
    _, state = generator_and_state()
    config = {CONFIG_KEY: json.dumps({"width": 2, "attention_levels": [1, 3]})}
    return [
        safetensors_bytes(state, config),
        saved(state),
        saved(state, legacy=True),
        saved({"ema": {"module": state}}),
    ]


def weights(random: Random, folder: Path) -> str:
    """One file to the reader of weights."""
    files = whole_weights()
    kinds = (*[_bytes] * 8, *[_safetensors_header] * 6, *[_pickle] * 4, _odd_state, _zip)
    content = chosen(random, kinds)(random, files, folder)
    path = folder / chosen(random, ("Gen", "a.safetensors", "a.pt", "a.ckpt"))
    path.write_bytes(content)
    try:
        generator = read_weights(path).to_generator()
    except WeightsError as error:
        assert path.name in str(error), f"does not name the file: {error}"
        return "refused"
    assert all(tensor.isfinite().all() for tensor in generator.state_dict().values())
    return "read"


def _bytes(random: Random, files: list[bytes], folder: Path) -> bytes:
    return mutated(random, chosen(random, files), files)


def _safetensors_header(random: Random, files: list[bytes], folder: Path) -> bytes:
    (length,) = struct.unpack("<Q", files[0][:8])
    header, data = json.loads(files[0][8 : 8 + length]), files[0][8 + length :]
    for _ in range(random.integers(1, 4)):
        name = chosen(random, list(header))
        entry = header[name]
        match random.integers(5):
            case 0:
                config: dict[str, Any] = {"width": 2, "attention_levels": [1, 3], "more": 0}
                del config[chosen(random, list(config))]
                config[chosen(random, list(config))] = chosen(random, ODD_VALUES)
                header["__metadata__"] = {CONFIG_KEY: json.dumps(chosen(random, (config, chosen(random, ODD_VALUES))))}
            case 1 if isinstance(entry, dict) and entry:
                entry[chosen(random, list(entry))] = chosen(random, ODD_VALUES)
            case 2 if isinstance(entry, dict) and "shape" in entry:
                entry["shape"] = [int(chosen(random, (0, 1, 2, 4096, 2**31, 2**62))) for _ in range(random.integers(6))]
            case 3:
                header[chosen(random, (FIRST_KEY, "", "a" * 1000, name + name))] = header.pop(name)
            case _:
                header[chosen(random, (name, "__metadata__"))] = chosen(random, ODD_VALUES)
    text = json.dumps(header).encode()
    claimed = len(text) if random.random() < 0.8 else int(chosen(random, (0, 1, len(text) + 9, 2**40, 2**63)))
    return struct.pack("<Q", claimed) + text + data


def _odd_state(random: Random, files: list[bytes], folder: Path) -> bytes:
    state = dict(generator_and_state()[1])
    for _ in range(random.integers(1, 4)):
        name = FIRST_KEY if random.random() < 0.3 else chosen(random, list(state))
        state[name] = _odd_entry(random, state[name])
    wrapped = chosen(
        random, (state, {"state_dict": state}, {"a": {1: state}}, [state], {"ema": state, "module": state})
    )
    return saved(wrapped, legacy=random.random() < 0.3)


def _odd_entry(random: Random, tensor: Any) -> Any:
    if not isinstance(tensor, Tensor) or tensor.is_quantized or tensor.layout != torch.strided:
        return tensor
    if tensor.is_meta or tensor.numel() > 10**6:
        return tensor
    flat = tensor.reshape(-1)
    match random.integers(12):
        case 0:
            return tensor.to(chosen(random, (torch.int64, torch.bool, torch.complex64, torch.float64, torch.uint8)))
        case 1:
            return torch.full_like(tensor.float(), chosen(random, (math.nan, math.inf, 1e30, 0)), device="cpu")
        case 2:
            return flat[:1].expand(tensor.shape) if tensor.numel() else tensor
        case 3:
            return torch.zeros(1).expand(10**6, 10**6) if tensor.shape else torch.empty(0, 10**9)
        case 4:
            return tensor.float().to_sparse() if tensor.ndim else tensor
        case 5:
            return tensor.to("meta")
        case 6:
            return tensor.reshape(-1, 1)
        case 7:
            return torch.nn.Parameter(tensor.float())
        case 8:
            return tensor.mT if tensor.ndim > 1 else tensor[None]
        case 9:
            return chosen(random, ODD_VALUES)
        case 10:
            return torch.quantize_per_tensor(tensor.float(), 0.1, 0, torch.qint8)
        case _:
            return tensor.to(torch.float8_e4m3fn)


def _pickle(random: Random, files: list[bytes], folder: Path) -> bytes:
    marker = str(folder / "executed")
    hostile = chosen(
        random,
        (
            Hostile(os.system, f"touch {marker}"),
            Hostile(eval, f"open({marker!r}, 'w')"),
            Hostile(exec, f"open({marker!r}, 'w')"),
            Hostile(open, marker, "w"),
            Hostile(getattr, "a", "upper"),
            Hostile(os.makedirs, marker),
            Hostile(torch.hub.load, "a", "b"),
            Hostile(torch.zeros, 10**15),
        ),
    )
    nested: Any = hostile
    for _ in range(chosen(random, (0, 1, 5, 400))):
        nested = {"a": nested}
    circular: dict[str, Any] = {}
    circular["a"] = circular
    value = chosen(random, (nested, {**generator_and_state()[1], "more": hostile}, [hostile] * 3, circular, hostile))
    if random.random() < 0.3:
        return pickle.dumps(value, protocol=int(random.integers(6)))
    return saved(value, legacy=random.random() < 0.5)


def _zip(random: Random, files: list[bytes], folder: Path) -> bytes:
    with zipfile.ZipFile(io.BytesIO(files[1])) as archive:
        records = [(name, archive.read(name)) for name in archive.namelist()]
    for _ in range(random.integers(1, 4)):
        place = int(random.integers(len(records)))
        name, content = records[place]
        match random.integers(6):
            case 0:
                records.append((name, chosen(random, records)[1]))
            case 1:
                records[place] = (
                    chosen(random, ("../../executed", "/executed", "archive/data.pkl", name * 2)),
                    content,
                )
            case 2:
                records[place] = (name, mutated(random, content, files))
            case 3:
                records[place] = (name, bytes(chosen(random, (0, 1, 10**6, 3 * 10**7))))
            case 4:
                del records[place]
                records = records or [("a", b"")]
            case _:
                records.insert(0, records.pop())
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", chosen(random, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, content in records:
            archive.writestr(name, content)
    return mutated(random, file.getvalue(), files) if random.random() < 0.3 else file.getvalue()


def blends(random: Random, folder: Path) -> str:
    """Tensors and options to the blend, the sequence, and then perhaps to the restoring of photos."""
    generator = generator_and_state()[0].float()
    sound = random.random() < 0.5
    num_photos = 2 if random.random() < 0.6 else int(random.integers(5))
    photos = [_photos(random, sound) for _ in range(num_photos)]
    options: dict[str, Any] = {
        "photo_mode": chosen(random, ("keep", "feather", "redraw") if sound else ("keep", "redraw", "", None)),
        "feather": int(chosen(random, (0, 1, 5, 10**9) if sound else (0, -1, 2**70))),
        "detail": float(chosen(random, (0, 0.5, 1) if sound else (1, -1, 2, math.nan, math.inf))),
        "direction": chosen(random, ("right", "down") if sound else ("right", "down", "up")),
    }
    widths = (None, 3, 9, 20, 30, 100) if sound else (None, 10, 0, -1, 10**9, 2**70)
    try:
        if num_photos == 2 and random.random() < 0.6:
            options["batch_size"] = int(chosen(random, (1, 2, 9) if sound else (1, 0, -1)))
            made = blend(generator, photos[0], photos[1], chosen(random, widths), **options)
        else:
            gaps = [chosen(random, widths) for _ in range(int(random.integers(5)))]
            loop = bool(random.random() < 0.5)
            gap_widths = chosen(random, (None, gaps, chosen(random, widths)))
            made = blend_sequence(generator, photos, gap_widths, loop=loop, **options)
    except (ValueError, FloatingPointError) as error:
        assert str(error), "an error without a word"
        return "refused"
    _check(made)
    if random.random() < 0.3:
        return "made and " + _restored(random, made, sound)
    return "made"


def _check(made: Blend) -> None:
    panorama, mask = made.panorama, made.gap_mask
    assert panorama.dtype == torch.float32 and panorama.ndim == 4 and panorama.shape[1] == 3
    assert mask.shape == (len(panorama), *panorama.shape[-2:])
    assert panorama.isfinite().all(), "numbers in the panorama that are not finite"
    gap = panorama.movedim(1, -1)[mask.bool()]
    assert gap.numel() and gap.min() >= 0 and gap.max() <= 1, "a gap that leaves 0..1"


def _restored(random: Random, made: Blend, sound: bool) -> str:
    panorama = made.panorama
    if sound:
        factor = random.uniform(0.4, 2.5)
        size = [max(1, round(side * factor)) for side in panorama.shape[-2:]]
        panorama = torch.nn.functional.interpolate(panorama, size)
    else:
        panorama = _photos(random, False)
    try:
        restored = restore_photos(panorama, made, feather=int(chosen(random, (0, 3, 10**9, -1))))
    except ValueError as error:
        assert str(error), "an error without a word"
        return "not restored"
    assert restored.panorama.shape[-2:] == panorama.shape[-2:]
    _check(restored)
    return "restored"


def _photos(random: Random, sound: bool) -> Any:
    height, width = (int(2 ** random.uniform(0, 7)) for _ in range(2))
    shape = [int(random.integers(1, 3)), int(chosen(random, (1, 3, 3, 3, 4))), height, width]
    seed = torch.Generator().manual_seed(int(random.integers(2**31)))
    if sound:
        photos = torch.rand(shape, generator=seed)
        match random.integers(6):
            case 0:
                return photos.mT.contiguous().mT
            case 1:
                return photos[:1].expand(shape)
            case 2:
                return photos.to(chosen(random, (torch.float16, torch.bfloat16, torch.float64)))
            case 3:
                return torch.rand([*shape[:3], 2 * width], generator=seed)[..., ::2].flip(-1)
            case 4:
                return torch.full(shape, float(random.integers(2)))
            case _:
                return photos
    if random.random() < 0.2:
        shape[int(random.integers(4))] = int(chosen(random, (0, 2, 5)))
    if random.random() < 0.2:
        shape = shape[: int(random.integers(5))] + [2] * int(random.integers(3))
    photos = torch.rand(shape, generator=seed)
    match random.integers(6):
        case 0:
            kinds = (torch.uint8, torch.int64, torch.bool, torch.complex64, torch.float64, torch.float16)
            return (photos * 255).to(chosen(random, kinds))
        case 1:
            return photos * float(chosen(random, (-1, 1e5, -1e10, 1e30, 3e38, 1e-40)))
        case 2:
            share = photos > float(random.random())
            return torch.where(share, float(chosen(random, (math.nan, math.inf, -math.inf, 1e38))), photos)
        case 3:
            return photos.sub(0.5) * 4
        case _:
            return photos


@functools.cache
def whole_images() -> list[tuple[str, bytes]]:
    """A small image in every format and mode that Pillow writes, with metadata, and the ending of its name."""
    Image.init()
    endings = {name: ending for ending, name in Image.registered_extensions().items()}
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 4), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    found = []
    for image_format in sorted(set(Image.SAVE) & set(endings)):
        for mode in ("RGB", "RGBA", "L", "P", "1", "CMYK", "I;16", "F", "LA"):
            file = io.BytesIO()
            grey = Image.fromarray(noise[..., 0])
            if mode in ("I;16", "F"):
                image = Image.fromarray(noise[..., 0].astype({"I;16": np.uint16, "F": np.float32}[mode]))
            else:
                image = Image.fromarray(noise).convert(mode) if mode != "1" else grey.convert(mode)
            try:
                image.save(file, image_format, exif=exif.tobytes(), icc_profile=srgb_profile(), xmp=b"<x/>")
            except Exception:  # a format has a kind of error for each mode that it lacks
                continue
            found.append((endings[image_format], file.getvalue()))
    return found


def images(random: Random, folder: Path) -> str:
    """One file to the reader of photos."""
    files = whole_images()
    ending, content = chosen(random, files)
    if random.random() < 0.1:
        ending = chosen(random, files)[0]
    path = folder / f"photo{ending}"
    path.write_bytes(mutated(random, content, [content for _, content in files]))
    try:
        size = upright_size(path)
        photo = read_image(path)
    except ValueError as error:
        assert path.name in str(error), f"does not name the file: {error}"
        return "refused"
    assert photo.dtype == torch.float32 and photo.shape[:2] in ((1, 3), (1, 4))
    assert photo.shape[:1:-1] == size, f"{tuple(photo.shape)} of a photo of {size}"
    assert 0 <= photo.min() and photo.max() <= 1, "colours that leave 0..1"
    return "read"


CASES: dict[str, Case] = {"weights": weights, "blends": blends, "images": images}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for kind in CASES:
        parser.add_argument(f"--{kind}", type=int, default=0, metavar="COUNT", help="how many inputs (default: 0)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input (default: 0)")
    options = parser.parse_args()
    accept_any_text(sys.stdout)
    num_findings = 0
    for kind in CASES:
        end = options.first + getattr(options, kind)
        counts: Counter[str] = Counter()
        slowest, memory, number = 0.0, 0.0, options.first
        with tqdm(total=end - number, unit=kind, disable=end == number) as bar:
            while number < end:
                chunk = run_chunk(kind, options.seed, number, min(end, number + CHUNK))
                counts.update(chunk["counts"])
                slowest, memory = max(slowest, chunk["slowest"]), max(memory, chunk["memory"])
                bar.update(chunk["next"] - number)
                number = chunk["next"]
        num_findings += counts[FOUND]
        if counts:
            outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
            sys.stdout.write(
                f"{kind}: {counts.total()} inputs: {outcomes}; the slowest took {slowest:.1f} s, and a process "
                f"{memory / 1e9:.2f} GB more than at its start\n"
            )
    sys.stdout.write(f"{num_findings} findings\n")
    return 1 if num_findings else 0


def run_chunk(kind: str, seed: int, first: int, end: int) -> dict[str, Any]:
    """Work through inputs in a process of its own; if it dies, the input that killed it is a finding."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        process = context.Process(target=work, args=(kind, seed, first, end, folder))
        process.start()
        process.join()
        chunk: dict[str, Any] = json.loads(report.read_bytes())
    if chunk["next"] < end:
        print_finding(f"{kind} {chunk['next']}: the process ended with {process.exitcode}")
        chunk["counts"][FOUND] = chunk["counts"].get(FOUND, 0) + 1
        chunk["next"] += 1
    return chunk


def print_finding(finding: str) -> None:
    """Print it at once, so that a run that is ended loses none."""
    sys.stdout.write(f"{finding}\n")
    sys.stdout.flush()


def work(kind: str, seed: int, first: int, end: int, folder: str) -> None:
    """What a process does; the state of its work is in `folder/report` at any time."""
    accept_any_text(sys.stdout)
    sys.dont_write_bytecode = True
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    inputs = Path(folder) / "inputs"
    inputs.mkdir()
    watch = Watch(inputs)
    chunk: dict[str, Any] = {"counts": Counter(), "slowest": 0.0, "memory": 0.0, "next": first}
    report = (Path(folder) / "report").open("wb", buffering=0)

    def write_report() -> None:
        report.seek(0)
        report.write(json.dumps(chunk).encode())
        report.truncate()

    base = 0.0
    for number in range(first, end):
        chunk["next"] = number
        write_report()
        faulthandler.dump_traceback_later(HANGING, exit=True)
        started = time.process_time()
        try:
            with watch:
                outcome = CASES[kind](np.random.default_rng((seed, len(kind), number)), inputs)
            if watch.seen or (inputs / "executed").exists():
                raise AssertionError(f"did what it must not: {watch.seen[:3]}")
            if time.process_time() - started > SLOWEST:
                raise AssertionError(f"took {time.process_time() - started:.0f} s")
        except Exception:
            outcome = FOUND
            print_finding(f"{kind} {number}: {traceback.format_exc()}")
        for path in inputs.iterdir():
            path.unlink()
        chunk["counts"][outcome] += 1
        chunk["slowest"] = max(chunk["slowest"], time.process_time() - started)
        base = base or peak_memory()
        chunk["memory"] = peak_memory() - base
    chunk["next"] = end
    write_report()


class Watch:
    """While it is entered, notes what an input must not do."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.active = False
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def __enter__(self) -> None:
        self.seen.clear()
        self.active = True

    def __exit__(self, *exception: object) -> None:
        self.active = False

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active:
            return
        writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes and not str(arguments[0]).startswith(self.folder):
            self.seen.append(f"wrote to {arguments[0]}")
        if event in FORBIDDEN:
            self.seen.append(f"{event} {arguments}")


def peak_memory() -> float:
    """Bytes that this process has taken at most; 0 where the system does not tell."""
    if sys.platform == "win32":
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else 1024 * peak)


if __name__ == "__main__":
    sys.exit(main())
