"""The audit as Markdown, for a paper, a card or an issue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Line(NamedTuple):
    """One figure: what it is called, its value as text, and what it says, with the source of its definition."""

    name: str
    value: str
    meaning: str


def lines(content: dict[str, Any]) -> list[Line]:
    """Every figure of the audit that is known, in the order in which they are read."""
    return [
        *_people(content),
        *_separability(content["separability"]),
        *_against_references(content),
        *_networks(content),
        *demographics(content),
    ]


def markdown(content: dict[str, Any]) -> str:
    """audit.md: the head, the table, the balance of groups, the proxies of looks."""
    encoder = content["encoder"]
    parts = [
        f"# Audit of {content['dataset']}",
        f"{content['images']:,} pictures of {content['identities']:,} people, judged by {judge(content, mark='`')}"
        + (", which also conditioned the pictures: the figures flatter." if encoder["independent"] is False else "."),
        table(["figure", "value", "what it says"], lines(content)),
    ]
    if content["skipped"]:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in content["skipped"].items())
        parts.append(f"Without an embedding: {reasons}.")
    if rows := look_rows(content["looks"]):
        parts += ["## Looks, by proxies", table(LOOK_HEAD, rows)]
    for name, balance in balances(content):
        parts += [f"## {name}", table(["group", "people", "share", "pictures"], group_rows(balance))]
    return "\n\n".join(parts) + "\n"


def judge(content: dict[str, Any], mark: str = "") -> str:
    """Who judged: the encoder's name, or of a file its last part."""
    name = content["encoder"]["name"]
    return f"{mark}{Path(name).name}{mark}" if name else "an encoder that the file does not tell"


def untold(content: dict[str, Any]) -> str:
    """Why dataset and references may be of two encoders, in few words; empty where they are known to be of one."""
    return content.get("encoders_untold") or ""


def _people(content: dict[str, Any]) -> Iterator[Line]:
    unique, threshold = content["uniqueness"], f"{content['threshold']:g}"
    yield Line(
        "uniqueness",
        percent(unique["share"]),
        f"people whose center stays below {threshold} to all earlier ones (DCFace, Eq. 12)",
    )
    yield Line(
        "unique, packed", percent(unique["share_packed"]), "the same, where only people who are unique themselves count"
    )
    if unique["nearest_center"]:
        quantiles = unique["nearest_center"]["quantiles"]
        yield Line(
            "nearest other center",
            f"{quantiles['0.5']:.3f}",
            f"median over people; 99 % of them below {quantiles['0.99']:.3f}",
        )
    consistency = content["consistency"]
    yield Line(
        "consistency", percent(consistency["share"]), f"pictures above {threshold} to their own center (DCFace, Eq. 13)"
    )
    yield Line("similarity to own center", _mean_std(consistency["own_center"]), "mean ± standard deviation")
    yield Line(
        "diversity",
        percent(content["diversity"]["share"]),
        f"pictures below {threshold} to all earlier ones of the person (Eq. 11's balls within people)",
    )
    noise = content["label_noise"]
    yield Line(
        "label noise",
        percent(noise["share"]),
        f"{noise['images']:,} pictures nearer to another person's center than to their own",
    )
    spread = content["spread"]
    yield Line(
        "effective dimension",
        f"{spread['effective_dimension']:.1f}",
        f"of the embeddings; total variance {spread['total_variance']:.3f}",
    )


def _separability(figures: dict[str, Any]) -> Iterator[Line]:
    if figures["eer"] is None:
        return
    genuine, impostor = figures["genuine"], figures["impostor"]
    of = "all" if genuine["count"] == figures["genuine_pairs"] else f"drawn of {figures['genuine_pairs']:,}"
    yield Line(
        "EER",
        percent(figures["eer"]),
        f"{genuine['count']:,} genuine pairs ({of}), {impostor['count']:,} impostor pairs of {figures['impostor_images']:,} pictures",
    )
    yield Line("FMR100", percent(figures["fmr100"]), "lowest FNMR at an FMR of at most 1 %")
    yield Line("FMR1000", percent(figures["fmr1000"]), "lowest FNMR at an FMR of at most 0.1 %")
    if figures["fdr"] is not None:
        yield Line("FDR", f"{figures['fdr']:.2f}", "Fisher's discriminant ratio (IDiff-Face, NegFaceDiff)")
        yield Line("d′", f"{figures['d_prime']:.2f}", "distance of the means in pooled deviations")
    yield Line("genuine similarity", _mean_std(genuine), "two pictures of one person")
    yield Line("impostor similarity", _mean_std(impostor), "two pictures of two people")


def _against_references(content: dict[str, Any]) -> Iterator[Line]:
    leakage = content["leakage"]
    if leakage is not None:
        gate, note = leakage["gate"], _note(content)
        verdict = {True: "passed", False: "NOT passed", None: "not decided"}[gate["passed"]]
        yield Line(
            "nearest real person",
            f"{leakage['mean']:.3f}",
            f"mean over all pictures, against {leakage['references']:,} references; largest {leakage['max']:.3f}{note}",
        )
        if leakage["by_chance"] is not None:
            chance = f"what the nearest of {leakage['references']:,} strangers would be like, were similarities normal"
            yield Line("nearest by chance", f"{leakage['by_chance']:.3f}", chance)
        yield Line("nearest real person, p99", f"{leakage['p99']:.3f}", f"at most {gate['max_p99']:g} is allowed")
        yield Line(
            f"pictures above {leakage['level']:g}",
            f"{100 * leakage['share_above_level']:.3f} %",
            f"{leakage['above_level']:,} pictures; at most {100 * gate['max_share']:g} % is allowed",
        )
        yield Line("gate of leakage", verdict, f"both of the above{note}")
    if content.get("same_people"):
        likeness = content["same_people"]
        wanted = f"wanted: the dataset shows these people{_note(content)}"
        yield Line("nearest picture of the real people", _mean_std(likeness), wanted)
    if content["frechet"] is not None:
        where = f"to the references, in the embeddings' space{_note(content)}"
        yield Line("Fréchet distance", f"{content['frechet']['distance']:.4f}", where)
    if content["style_recall"] is not None:
        yield _recall("D_intra", content["style_recall"], _note(content))
    for name, found in (content["input_output"] or {}).items():
        if found is not None:
            yield Line(f"similarity to {_RENDERED[name][0]}", _mean_std(found), _RENDERED[name][1])


def _recall(name: str, recall: dict[str, Any], note: str = "") -> Line:
    balls = f"real pictures within the generated ones' balls, {recall['people']:,} people, k = {recall['neighbours']}"
    return Line(name, percent(recall["share"]), f"{balls} (DCFace, Eq. 14 and 15, in {recall['space']} space){note}")


def _note(content: dict[str, Any]) -> str:
    """What is to be said of every similarity of dataset and references."""
    return f"; {why}: similarities of two encoders mean nothing" if (why := untold(content)) else ""


def demographics(content: dict[str, Any]) -> Iterator[Line]:
    """Measured values of people, columns that are left out, and people whose rows disagree; groups have tables of their own."""
    found = content["demographics"] or {}
    for name, one in found.get("measured", {}).items():
        yield Line(
            name,
            _mean_std(one, ".2f"),
            f"of {one['people']:,} people, {one['min']:g} … {one['max']:g} ({found['file']})",
        )
    for name, reason in found.get("left_out", {}).items():
        yield Line(name, "left out", f"{reason} ({found['file']})")
    for name, people in found.get("disagreeing", {}).items():
        chosen = "their mean counts" if name in found["measured"] else "the most frequent value counts"
        yield Line(
            f"{name}, rows that disagree", f"{people:,}", f"people with several values; {chosen} ({found['file']})"
        )


def _networks(content: dict[str, Any]) -> Iterator[Line]:
    found = content["networks"] or {}
    if found.get("lpips"):
        yield Line(
            "LPIPS within people",
            f"{found['lpips']['mean']:.3f} ± {found['lpips']['std']:.3f}",
            f"{found['lpips']['pairs']:,} pairs of one person, AlexNet",
        )
    if found.get("fid"):
        fid = found["fid"]
        yield Line(
            "FID",
            f"{fid['distance']:.2f}",
            f"{fid['images']:,} pictures against {fid['real_images']:,} references, {fid['size']} pixels",
        )
    if found.get("style_recall"):
        yield _recall("D_intra, Inception", found["style_recall"])


# what rendering measured of each picture → whom the picture is like, and by whom
_RENDERED = {
    "center_similarity": (
        "the person's center",
        "by the conditioning encoder, as rendering measured it; the condition itself is a variation of that center",
    ),
    "reference_similarity": (
        "the person's first attempts",
        "to their mean embedding (gate.reference_images of them, kept or not), by the verifier, as rendering measured it",
    ),
}
LOOK_HEAD = ["proxy", "mean", "deviation", "within people", "5 %", "95 %", "unknown"]
LOOK_NAMES = {
    "yaw": "yaw, °",
    "pitch": "pitch, °",
    "roll": "roll, °",
    "mouth": "mouth's width / eyes' distance",
    "luminance": "mean luma, 0…255",
    "sharpness": "sharpness (variance of the Laplacian)",
    "tone": "skin tone (ITA), °",
}


def look_rows(looks: dict[str, Any]) -> list[list[str]]:
    """A row for each proxy of which something is known."""
    rows = []
    for name, title in LOOK_NAMES.items():
        found = looks[name]
        if found is None:
            continue
        digits = 2 if name == "mouth" else 1
        values = [found["mean"], found["std"], found["within"], found["quantiles"]["0.05"], found["quantiles"]["0.95"]]
        shown = ["–" if value is None else f"{value:.{digits}f}".replace("-", "−") for value in values]
        rows.append([title, *shown, f"{found['unknown']:,}"])
    return rows


def balances(content: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Title → balance: the user's groups, and the tones as the stated proxy."""
    found = []
    if content["demographics"] is not None:
        for name, balance in content["demographics"]["columns"].items():
            found.append((f"Balance: {name}{_evenness(balance)}", balance))
    tones = content["looks"].get("tones")
    if tones is not None and tones["groups"]:
        found.append((f"Skin tone of people, a proxy under unknown light{_evenness(tones)}", tones))
    return found


def group_rows(balance: dict[str, Any]) -> list[list[str]]:
    ordered = sorted(balance["groups"].items(), key=lambda item: -item[1]["people"])
    return [[name, f"{g['people']:,}", percent(g["share"]), f"{g['images']:,}"] for name, g in ordered]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in [head, *rows]]
    return "\n".join(f"| {' | '.join(row)} |" for row in [cells[0], ["---"] * len(head), *cells[1:]])


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _evenness(balance: dict[str, Any]) -> str:
    return "" if balance["evenness"] is None else f" (evenness {balance['evenness']:.2f})"


def _mean_std(found: dict[str, Any], digits: str = ".3f") -> str:
    return f"{found['mean']:{digits}} ± {found['std']:{digits}}".replace("-", "−")
