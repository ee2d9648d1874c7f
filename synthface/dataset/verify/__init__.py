"""`verify`: can this RecordIO folder be trusted?

findings.py    what can be wrong, by name; the report
structure.py   records, index, header, identity records, property, list, labels, manifest
inspect.py     one picture: does it decode, how large, which checksum, which colour has the skin
pool.py        processes that may die without anything hanging or being lost
pictures.py    all pictures through the pool: decoding, checksums, duplicates, swapped channels
repair.py      a new index; an incomplete tail cut off
check.py       the whole
"""

from synthface.dataset.verify.check import verify
from synthface.dataset.verify.findings import Finding, Report

__all__ = ["Finding", "Report", "verify"]
