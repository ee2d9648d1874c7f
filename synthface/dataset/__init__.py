"""The dataset: RecordIO that every recogniser's trainer reads, and a manifest that tells where each picture came from.

recordio.py       the container's framing, to the byte
irheader.py       labels and ids before the picture
index.py          `.idx` files
record_file.py    a memory-mapped `.rec` file with its index
layout.py         which record is what; `property`; listing.py: `.lst` files
records.py        a RecordIO folder as pictures with labels; class_folders.py: class folders; opening.py: either
manifest.py       one row a picture; shard.py: a shard of pictures with rows
packing.py        many shards into one dataset; plan.py, copying.py, publish.py, record_writer.py are its parts
verify/           looks at everything, and mends what can be mended
export/           the forms that other tools read
preview.py        contact sheets; decode.py: bytes → pixels
"""

from synthface.dataset.manifest import Row
from synthface.dataset.opening import Dataset, open_dataset
from synthface.dataset.packing import Packed, pack
from synthface.dataset.shard import ShardWriter

__all__ = ["Dataset", "Packed", "Row", "ShardWriter", "open_dataset", "pack"]
