"""Colour profiles to test with, written here from their primaries or inks: none need to be on the machine."""

from __future__ import annotations

import struct
from itertools import product

import numpy as np

DISPLAY_P3 = {"red": (0.680, 0.320), "green": (0.265, 0.690), "blue": (0.150, 0.060), "gamma": 2.2}
ADOBE_RGB = {"red": (0.640, 0.330), "green": (0.210, 0.710), "blue": (0.150, 0.060), "gamma": 2.2}
D65, D50 = np.array([0.95047, 1.0, 1.08883]), np.array([0.96422, 1.0, 0.82521])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
TO_D50 = np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ D50) / (BRADFORD @ D65)) @ BRADFORD
SRGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def rgb_to_xyz(space: dict) -> np.ndarray:
    """From linear RGB to XYZ under D65, (3 3)."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in (space["red"], space["green"], space["blue"])]).T
    return columns * np.linalg.solve(columns, D65)


def rgb_profile(space: dict) -> bytes:
    """An ICC profile of an RGB space with white of D65."""
    matrix = TO_D50 @ rgb_to_xyz(space)
    tags = {b"wtpt": _xyz(D50)}
    for number, letter in enumerate(b"rgb"):
        tags[bytes([letter]) + b"XYZ"] = _xyz(matrix[:, number])
        tags[bytes([letter]) + b"TRC"] = _curve(space["gamma"])
    return _profile(b"RGB ", tags)


def grey_profile(gamma: float) -> bytes:
    """An ICC profile of grey."""
    return _profile(b"GRAY", {b"wtpt": _xyz(D50), b"kTRC": _curve(gamma)})


INKS = np.array([(0, 158, 224), (229, 0, 125), (255, 237, 0), (40, 38, 36)])
"""Cyan, magenta, yellow and black on white paper, in levels of sRGB."""


def printed(coverage: tuple[int, ...]) -> np.ndarray:
    """What paper is that is covered or not (1 or 0) by each of `INKS`, in levels of sRGB."""
    return 255 * np.where(np.array(coverage)[:, None] == 1, INKS / 255, 1).prod(axis=0)


def cmyk_profile() -> bytes:
    """An ICC profile of `INKS`: the CIELAB colours of all 16 of their combinations."""
    table = b"".join(_lab(printed(coverage)) for coverage in product((0, 1), repeat=4))
    identity = struct.pack(">9i", *(np.eye(3, dtype=int).ravel() * 65536).tolist())
    lines = struct.pack(">2H", 0, 65535)  # of what goes in, and of what comes out
    content = (
        b"mft2\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + struct.pack(">2H", 2, 2) + 4 * lines + table + 3 * lines
    )
    return _profile(
        b"CMYK", {b"wtpt": _xyz(D50), b"A2B0": content + bytes(-len(content) % 4)}, kind=b"prtr", space=b"Lab "
    )


def _lab(levels: np.ndarray) -> bytes:
    """A colour of sRGB in CIELAB under D50, as ICC.1:2001-04 encodes it in 16 bits."""
    values = levels / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    share = TO_D50 @ SRGB_TO_XYZ @ linear / D50
    x, y, z = np.where(share > (6 / 29) ** 3, np.cbrt(share), share * (29 / 6) ** 2 / 3 + 4 / 29)
    encoded = ((116 * y - 16) * 652.8, (500 * (x - y) + 128) * 256, (200 * (y - z) + 128) * 256)
    return struct.pack(">3H", *(min(max(round(value), 0), 65535) for value in encoded))


def in_srgb(colour: tuple[int, int, int], space: dict) -> np.ndarray:
    """What a colour of 8 bits in a space is in sRGB, in levels."""
    linear = (np.array(colour) / 255) ** space["gamma"]
    return srgb_levels((np.linalg.inv(SRGB_TO_XYZ) @ rgb_to_xyz(space) @ linear).clip(0, 1))


def srgb_levels(linear: np.ndarray) -> np.ndarray:
    """Light in 0..1 in levels of sRGB."""
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def _curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def _profile(colours: bytes, tags: dict[bytes, bytes], *, kind: bytes = b"mntr", space: bytes = b"XYZ ") -> bytes:
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = {b"desc": text + bytes(-len(text) % 4), b"cprt": b"text\0\0\0\0none\0\0\0\0", **tags}
    table, data, offset = b"", b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", offset + len(data), len(content))
        data += content
    header = struct.pack(">I4sI4s4s4s", offset + len(data), b"none", 0x02100000, kind, colours, space)
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _xyz(D50)[8:] + bytes(48)
    return header + struct.pack(">I", len(tags)) + table + data
