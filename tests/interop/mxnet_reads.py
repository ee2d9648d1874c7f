"""Reads a .rec file with MXNet, by key and from front to back, and tells what it found. Run where MXNet is."""

from __future__ import annotations

import hashlib
import json
import struct
import sys

import mxnet as mx


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main(stem: str, decode: bool) -> None:
    indexed = mx.recordio.MXIndexedRecordIO(f"{stem}.idx", f"{stem}.rec", "r")
    by_key = {}
    for key in indexed.keys:
        record = indexed.read_idx(key)
        told = {"record": digest(record)}
        try:
            header, payload = mx.recordio.unpack(record)
        except (ValueError, struct.error):  # a record without a header
            pass
        else:
            label = [float(value) for value in header.label] if header.flag else float(header.label)
            told |= {
                "flag": header.flag,
                "label": label,
                "id": header.id,
                "id2": header.id2,
                "payload": digest(payload),
            }
            if decode and payload:
                told["pixels"] = digest(mx.image.imdecode(payload).asnumpy().tobytes())
        by_key[key] = told
    sequential, plain = [], mx.recordio.MXRecordIO(f"{stem}.rec", "r")
    while (record := plain.read()) is not None:
        sequential.append(digest(record))
    print(json.dumps({"by_key": by_key, "sequential": sequential}))


if __name__ == "__main__":
    main(sys.argv[1], decode=sys.argv[2] == "decode")
