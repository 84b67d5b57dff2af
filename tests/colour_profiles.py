"""Colour profiles to test with, written here from their primaries: none need to be on the machine."""

from __future__ import annotations

import struct

import numpy as np

DISPLAY_P3 = {"red": (0.680, 0.320), "green": (0.265, 0.690), "blue": (0.150, 0.060), "gamma": 2.2}
ADOBE_RGB = {"red": (0.640, 0.330), "green": (0.210, 0.710), "blue": (0.150, 0.060), "gamma": 2.2}
D65, D50 = np.array([0.95047, 1.0, 1.08883]), np.array([0.96422, 1.0, 0.82521])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
SRGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def rgb_to_xyz(space: dict) -> np.ndarray:
    """From linear RGB to XYZ under D65, (3 3)."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in (space["red"], space["green"], space["blue"])]).T
    return columns * np.linalg.solve(columns, D65)


def rgb_profile(space: dict) -> bytes:
    """An ICC profile of an RGB space with white of D65."""
    adapt = np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ D50) / (BRADFORD @ D65)) @ BRADFORD
    matrix = adapt @ rgb_to_xyz(space)
    tags = {b"wtpt": _xyz(D50)}
    for number, letter in enumerate(b"rgb"):
        tags[bytes([letter]) + b"XYZ"] = _xyz(matrix[:, number])
        tags[bytes([letter]) + b"TRC"] = _curve(space["gamma"])
    return _profile(b"RGB ", tags)


def grey_profile(gamma: float) -> bytes:
    """An ICC profile of grey."""
    return _profile(b"GRAY", {b"wtpt": _xyz(D50), b"kTRC": _curve(gamma)})


def in_srgb(colour: tuple[int, int, int], space: dict) -> np.ndarray:
    """What a colour of 8 bits in a space is in sRGB, in levels."""
    linear = (np.array(colour) / 255) ** space["gamma"]
    linear = (np.linalg.inv(SRGB_TO_XYZ) @ rgb_to_xyz(space) @ linear).clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def _curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def _profile(colours: bytes, tags: dict[bytes, bytes]) -> bytes:
    name = b"test\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(78)
    tags = {b"desc": text + bytes(-len(text) % 4), b"cprt": b"text\0\0\0\0none\0\0\0\0", **tags}
    table, data, offset = b"", b"", 132 + 12 * len(tags)
    for kind, content in tags.items():
        table += kind + struct.pack(">II", offset + len(data), len(content))
        data += content
    header = struct.pack(">I4sI4s4s4s", offset + len(data), b"none", 0x02100000, b"mntr", colours, b"XYZ ")
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _xyz(D50)[8:] + bytes(48)
    return header + struct.pack(">I", len(tags)) + table + data
