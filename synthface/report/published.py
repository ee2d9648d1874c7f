"""Verification accuracies from papers, to stand beside measured ones, never among them.

Every row names the table it was read from. The recogniser of all rows is IR-SE-50 with AdaFace's loss. Nothing here was
measured by this project.
"""

from __future__ import annotations

from typing import NamedTuple

# set → column, in the papers' order
COLUMNS = {"lfw": "LFW", "cfp_fp": "CFP-FP", "cplfw": "CPLFW", "agedb_30": "AgeDB-30", "calfw": "CALFW"}


class Source(NamedTuple):
    """A paper's table. url: its page."""

    name: str
    url: str


class Row(NamedTuple):
    """Accuracies in percent, in the order of COLUMNS, and their mean as the table prints it."""

    name: str
    data: str
    accuracies: tuple[float, float, float, float, float]
    mean: float
    source: Source


_DCFACE = Source("Kim et al., DCFace, CVPR 2023, Table 4", "https://arxiv.org/abs/2304.07060")
_ARC2FACE = Source("Papantoniou et al., Arc2Face, ECCV 2024, Table 2", "https://arxiv.org/abs/2403.11641")

ROWS = (
    Row("SynFace (ICCV 2021)", "0.5M: 10K × 50", (91.93, 75.03, 70.43, 61.63, 74.73), 74.75, _DCFACE),
    Row("DigiFace (WACV 2023)", "0.5M: 10K × 50", (95.40, 87.40, 78.87, 76.97, 78.62), 83.45, _DCFACE),
    Row("DCFace (CVPR 2023)", "0.5M: 10K × 50", (98.55, 85.33, 82.62, 89.70, 91.60), 89.56, _DCFACE),
    Row("Arc2Face (ECCV 2024)", "0.5M: 10K × 50", (98.81, 91.87, 85.16, 90.18, 92.63), 91.73, _ARC2FACE),
    Row("DigiFace (WACV 2023)", "1.2M: 10K × 72 + 100K × 5", (96.17, 89.81, 82.23, 81.10, 82.55), 86.37, _DCFACE),
    Row("DCFace (CVPR 2023)", "1.2M: 20K × 50 + 40K × 5", (98.58, 88.61, 85.07, 90.97, 92.82), 91.21, _DCFACE),
    Row("Arc2Face (ECCV 2024)", "1.2M: 20K × 50 + 40K × 5", (98.92, 94.58, 86.45, 92.45, 93.33), 93.14, _ARC2FACE),
    Row("CASIA-WebFace, real", "0.49M: 10.5K × 47", (99.42, 96.56, 89.73, 94.08, 93.32), 94.62, _DCFACE),
)
SOURCES = tuple(dict.fromkeys(row.source for row in ROWS))
