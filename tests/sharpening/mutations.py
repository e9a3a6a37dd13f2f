"""Small TIFFs with faults in them, and what an independent decoder says of their pixels."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from tests.scenes import make_scene

# COMPRESS, layout and type; JPEG takes 8 bits and 1 or 3 bands
KINDS: dict[str, dict[str, Any]] = {
    "uncompressed": {"tiled": False, "blockysize": 16},
    "uncompressed tiled": {"tiled": True, "blockxsize": 32, "blockysize": 32},
    "deflate": {"tiled": False, "blockysize": 16, "compress": "DEFLATE", "predictor": 2},
    "deflate tiled": {
        "tiled": True,
        "blockxsize": 32,
        "blockysize": 32,
        "compress": "DEFLATE",
        "predictor": 2,
    },
    "lzw": {"tiled": False, "blockysize": 16, "compress": "LZW", "predictor": 2},
    "lzw tiled": {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "LZW", "predictor": 1},
    "jpeg": {"tiled": False, "blockysize": 16, "compress": "JPEG", "dtype": "uint8"},
    "jpeg tiled": {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "JPEG", "dtype": "uint8"},
}
WAYS = ("cut", "flip", "flip pixels", "flip header", "blank")


@dataclass(frozen=True)
class Original:
    """A whole file, and where its strips or tiles lie in it: (offset, length, bytes when decoded)."""

    kind: str
    content: bytes
    blocks: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Mutant:
    """A file with a fault: ``undecodable`` where a strip is cut short or cannot be what was written."""

    way: str
    content: bytes
    undecodable: bool


def originals(folder: Path, kind: str) -> dict[str, Original]:
    """A pan of 128 x 128 pixels and an ms of 32 x 32, 3 bands."""
    profile = KINDS[kind].copy()
    dtype = profile.pop("dtype", "uint16")
    scene = make_scene(folder, size=(128, 128), bands=3, dtype="uint16")
    files = {}
    for role, path in (("pan", scene.pan), ("ms", scene.ms)):
        with rasterio.open(path) as dataset:
            image, where = dataset.read(), dataset.profile
        if dtype == "uint8":
            image = np.clip(image // 8, 1, 255).astype("uint8")
        options = {
            k: v for k, v in where.items() if k not in ("tiled", "blockxsize", "blockysize", "compress")
        }
        options |= {"dtype": dtype, "interleave": "pixel", "photometric": "MINISBLACK"} | profile
        with rasterio.open(path, "w", **options) as dataset:
            dataset.write(image)
        files[role] = Original(kind, path.read_bytes(), tuple(_blocks(path)))
    return files


def _blocks(path: Path) -> Iterator[tuple[int, int, int]]:
    with rasterio.open(path) as dataset:
        height, width = dataset.block_shapes[0]
        itemsize = np.dtype(dataset.dtypes[0]).itemsize * dataset.count
        for (row, col), window in dataset.block_windows(1):
            offset = dataset.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=1)
            length = dataset.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=1)
            rows = height if dataset.profile["tiled"] else window.height
            yield int(offset), int(length), rows * width * itemsize


def mutate(original: Original, generator: np.random.Generator) -> Mutant:
    """One fault at random."""
    way = str(generator.choice(WAYS))
    content = bytearray(original.content)
    first = min(offset for offset, _, _ in original.blocks)
    if way == "cut":
        del content[int(generator.integers(0, len(content))) :]
    elif way == "blank":
        start = int(generator.integers(first, len(content)))
        stop = min(len(content), start + int(generator.integers(8, 256)))
        content[start:stop] = bytes([int(generator.choice((0, 255)))]) * (stop - start)
    else:
        low = first if way == "flip pixels" else 0
        high = first if way == "flip header" else len(content)
        for place in generator.integers(low, high, int(generator.integers(1, 9))):
            content[place] ^= int(generator.integers(1, 256))
    mutant = bytes(content)
    known = mutant[: min(first, len(mutant))] == original.content[: min(first, len(mutant))]
    return Mutant(way, mutant, known and undecodable(original, mutant))


def undecodable(original: Original, content: bytes) -> bool:
    """Whether a strip is cut short, or its code is broken; the header is that of the original."""
    for offset, length, size in original.blocks:
        data = content[offset : offset + length]
        whole = original.content[offset : offset + length]
        if original.kind.startswith("jpeg") and len(data) == length and data[:-2] == whole[:-2]:
            continue  # only the marker of its end is broken: every pixel is there
        if len(data) < length or not _decodes(original.kind.split()[0], data, size):
            return True
    return False


def _decodes(kind: str, data: bytes, size: int) -> bool:
    if kind == "deflate":
        try:
            return len(zlib.decompress(data)) == size
        except zlib.error:
            return False
    if kind == "lzw":
        return lzw_length(data, size) == size
    if kind == "jpeg":
        return data[:2] == b"\xff\xd8" and b"\xff\xd9" in data
    return True


def lzw_length(data: bytes, size: int) -> int:
    """Bytes that LZW (TIFF 6.0, section 13) makes of data, up to ``size``; -1 where a code is not known."""
    bits = "".join(f"{byte:08b}" for byte in data)
    lengths: list[int] = []
    place, made, last, width = 0, 0, 0, 9
    while made < size and place + width <= len(bits):
        code = int(bits[place : place + width], 2)
        place += width
        if code == 257:
            break
        if code == 256:
            lengths, last, width = [1] * 256 + [0, 0], 0, 9
            continue
        if not lengths or code > len(lengths) or (code == len(lengths) and not last) or code >= 4096:
            return -1
        length = lengths[code] if code < len(lengths) else last + 1
        if last:
            lengths.append(last + 1)
        made, last = made + length, length
        width = next(w for w in itertools.chain(range(9, 13), [12]) if len(lengths) + 1 < 2**w or w == 12)
    return min(made, size)
