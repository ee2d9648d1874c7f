"""Writes the records of a JSON file with MXNet. Run where MXNet is."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mxnet as mx


def main(source: Path, stem: str) -> None:
    writer = mx.recordio.MXIndexedRecordIO(f"{stem}.idx", f"{stem}.rec", "w")
    for row in json.loads(source.read_text()):
        payload = bytes.fromhex(row["payload"])
        if row["raw"]:
            writer.write_idx(row["key"], payload)
            continue
        label = row["label"]
        flag = len(label) if isinstance(label, list) else 0
        header = mx.recordio.IRHeader(flag, label, row["id"], row["id2"])
        writer.write_idx(row["key"], mx.recordio.pack(header, payload))
    writer.close()
    print(json.dumps({"mxnet": mx.__version__}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
