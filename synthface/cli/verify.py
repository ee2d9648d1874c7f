"""`synthface verify`: can this dataset be trusted?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from synthface.cli.options import debug_option, emit, json_option

if TYPE_CHECKING:
    from synthface.dataset.verify import Report


@click.command(
    "verify",
    help="Check a RecordIO dataset, whoever made it: records, index, header and identity records, labels, `property`, "
    "manifest; that every picture decodes and has the right size and checksum; duplicates; swapped channels.\n\n"
    "Exit code 0: it can be trusted; 1: it cannot. Warnings and notes do not change the code.\n\n"
    "\b\nExamples:\n"
    "  synthface verify run/dataset\n"
    "  synthface verify faces_emore --json\n"
    "  synthface verify half_copied --repair",
)
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--repair", is_flag=True, help="Write a new index, cut an incomplete record off the tail, then check.")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Processes that decode. Default: one a core.")
@json_option
@debug_option
def command(dataset: Path, repair: bool, workers: int | None, as_json: bool) -> int:
    from synthface.dataset.verify import verify

    report = verify(dataset, repair=repair, workers=workers)
    emit(as_json, report.as_json(), _text(report))
    return 0 if report.ok else 1


def _text(report: Report) -> str:
    size = f", {report.width} × {report.height}" if report.width else ""
    lines = [
        f"{report.path}: {report.images:,} images of {report.identities:,} identities{size}, {report.bytes / 1e6:,.1f} MB"
    ]
    if spread := report.images_per_identity:
        lines.append(
            f"images of an identity: {spread['min']:g} to {spread['max']:g}, median {spread['median']:g}, "
            f"mean {spread['mean']:g}"
        )
    lines += [f"repaired: {sentence}" for sentence in report.repaired]
    for finding in report.findings:
        lines.append(f"{finding.level}: {finding.name}. {finding.message}")
        if finding.keys and finding.count:
            more = " …" if finding.count > len(finding.keys) else ""
            lines.append(f"    keys {', '.join(map(str, finding.keys))}{more}")
        if finding.fix:
            lines.append(f"    {finding.fix}")
    speed = f", {report.images / report.seconds:,.0f} images/s" if report.seconds and report.images else ""
    verdict = "It can be trusted" if report.ok else "It cannot be trusted"
    lines.append(f"{verdict} ({report.seconds:.1f} s{speed}).")
    return "\n".join(lines)
