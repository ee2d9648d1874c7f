"""One HTML page about a run: no network, no script, nothing beside the file; opens by a double click.

gather.py   what the directory tells       charts.py   inline SVG
panels.py   the charts of each section     published.py   the papers' accuracies
templates/report.html, report.css
"""

from __future__ import annotations

import base64
import functools
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthface import files
from synthface.progress import duration
from synthface.report import licences, panels, published, tables
from synthface.report.gather import Facts, gather

if TYPE_CHECKING:
    from jinja2 import Environment

NAME = "report.html"
_WIDEST = 1_600  # pixels of a picture in the page
_QUALITY = 86


def write_report(run: Path, out: Path | None = None) -> dict[str, Any]:
    """Writes the page of a run directory to `out`, by default report/report.html in it; gives its path and what is missing.

    Raises InputError when `run` is no run directory.
    """
    facts = gather(run)
    path = out or facts.run.report / NAME
    files.write_text(path, render(facts))
    return {"report": str(path), "bytes": path.stat().st_size, "missing": facts.missing}


def render(facts: Facts) -> str:
    """The page as text. The same directory gives the same page."""
    return environment(autoescape=True).get_template("report.html").render(
        name=facts.run.path.resolve().name,
        facts=facts,
        tiles=_tiles(facts),
        sheet=_picture(facts.contact_sheet),
        worst_pairs=_picture(facts.worst_pairs),
        people=panels.people(facts),
        rendering=panels.rendering(facts),
        audit_charts=panels.audit(facts),
        training=[*panels.recognition(facts), *panels.training(facts)],
        rejections=panels.reasons((facts.render or {}).get("rejected", {})),
        given_up=panels.reasons((facts.render or {}).get("short", {})),
        judge=tables.judge(facts.audit) if facts.audit else "",
        untold=tables.untold(facts.audit) if facts.audit else "",
        audit_lines=tables.lines(facts.audit) if facts.audit else [],
        look_head=tables.LOOK_HEAD,
        looks=tables.look_rows(facts.audit["looks"]) if facts.audit else [],
        balances=[(name, tables.group_rows(balance)) for name, balance in tables.balances(facts.audit)] if facts.audit else [],
        measured=panels.verification(facts),
        published=published,
        links=licences.chain(facts.recipe, facts.record, sampled=facts.sampled) if facts.recipe else [],
        stages=_stages(facts),
    )  # fmt: skip


@functools.cache
def environment(autoescape: bool) -> Environment:
    """The templates beside this file."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["percent"] = tables.percent
    made.filters["short"] = lambda text: f"{text[:12]}…" if len(str(text)) > 14 else text
    made.filters["duration"] = duration
    return made


def _tiles(facts: Facts) -> list[tuple[str, str, str]]:
    """(value, what it is, a word more) of the page's head."""
    tiles = []
    audit, fr = facts.audit, facts.fr
    if facts.dataset:
        tiles.append((f"{facts.dataset['identities']:,}", "people", facts.dataset["property"] or ""))
        tiles.append((f"{facts.dataset['images']:,}", "pictures", f"{facts.dataset['bytes'] / 1e6:,.1f} MB"))
    if facts.render and facts.render["attempts"]:
        kept = facts.render["images"] / facts.render["attempts"]
        tiles.append((f"{100 * kept:.1f} %", "of attempts kept", f"{facts.render['attempts']:,} attempts"))
    if audit:
        tiles.append((tables.percent(audit["uniqueness"]["share"]), "unique people", f"below {audit['threshold']:g}"))
        if audit["separability"]["eer"] is not None:
            tiles.append(
                (
                    tables.percent(audit["separability"]["eer"]),
                    "equal error rate",
                    f"of {tables.judge(audit)}, on these pictures",
                )
            )
        if audit["leakage"]:
            verdict = {True: "passed", False: "failed", None: "not decided"}[audit["leakage"]["gate"]["passed"]]
            tiles.append((verdict, "gate of leakage", f"p99 {audit['leakage']['p99']:.3f}"))
    if fr and fr.get("evaluation"):
        mean = fr["evaluation"]["mean_accuracy"]
        tiles.append((f"{100 * mean:.2f} %", "verification, mean", f"{len(fr['evaluation']['benchmarks'])} sets"))
    return tiles


def _stages(facts: Facts) -> list[dict[str, Any]]:
    """What run.json records of each stage: decisive hashes and facts, one line each."""
    found = []
    for name, stage in facts.record.get("stages", {}).items():
        hashes = {k: v for k, v in stage.get("decisive", {}).items() if k.endswith("sha256")}
        facts_of = {k: v for k, v in stage.items() if k != "decisive" and isinstance(v, str | int | float)}
        found.append({"name": name, "values": {**hashes, **facts_of}})
    return found


def _picture(path: Path | None) -> str | None:
    """A picture as a data URI, JPEG, no wider than needed; None where there is none or it is damaged."""
    if path is None:
        return None
    from PIL import Image

    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except OSError:
        return None
    if picture.width > _WIDEST:
        picture = picture.resize((_WIDEST, round(picture.height * _WIDEST / picture.width)), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    picture.save(content, "jpeg", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
