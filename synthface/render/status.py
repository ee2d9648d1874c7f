"""How far a rendering is, read from its run directory: nothing needs to be running, and nothing is loaded."""

from __future__ import annotations

import datetime
from typing import Any

from synthface import files
from synthface.errors import InputError
from synthface.progress import duration
from synthface.render import shards, tally
from synthface.render.gate import table
from synthface.render.plan import FORMAT, Shard
from synthface.run import RunDirectory

_RECENT = 32  # shards, latest finished, from which the present speed is told


def status(run: RunDirectory) -> dict[str, Any]:
    """Progress, speed, time left, rejections, failed shards with their tracebacks, and who is at work.

    Raises InputError when nothing has been planned there.
    """
    if not run.plan_file.exists():
        raise InputError(f"Nothing has been planned in {run.path}.", "Begin with `synthface render`.")
    plan = files.read_json(run.plan_file)
    if plan.get("format") != FORMAT:
        raise InputError(f"{run.plan_file} is not a plan of this version.", "Run `synthface render` again.")
    cut = [Shard(number, *row) for number, row in enumerate(plan["shards"])]
    whole = {s.number: content for s in cut if (content := shards.read(run.shards, s, plan["hash"])) is not None}
    failed = {number: content for number, content in shards.failures(run.shards).items() if number not in whole}
    at_work = {number: claim for number, claim in shards.claims(run.shards).items() if number not in whole}
    counts = tally.together(whole.values())
    in_the_works = sum(int(claim.get("images", 0)) for claim in at_work.values())
    settled = counts["images_wanted"] + in_the_works
    speed = _speed(list(whole.values()), list(at_work.values()))
    remaining = plan["images"] - settled
    made = run.record()["stages"].get("pack", {}).get("made")
    return {
        "run": str(run.path),
        "identities": plan["identities"],
        "images_wanted": plan["images"],
        "images_settled": settled,
        "images": counts["images"],
        "attempts": counts["attempts"],
        "rejected": counts["rejected"],
        "short": counts["short"],
        "shards": {
            "all": len(cut),
            "whole": len(whole),
            "at_work": len(at_work),
            "failed": len(failed),
        },
        "images_per_second": speed,
        "seconds_left": round(remaining / speed, 1) if speed and at_work and remaining else None,
        "at_work": {f"{number:05d}": claim for number, claim in at_work.items()},
        "failed": {f"{number:05d}": content for number, content in failed.items()},
        "kinds": sorted({content["kind"] for content in whole.values()}),
        "dataset": str(run.dataset) if made and len(whole) == len(cut) else None,
    }


def text(content: dict[str, Any]) -> str:
    """For a person."""
    counts = content["shards"]
    share = content["images_settled"] / content["images_wanted"]
    lines = [
        f"{content['run']}: {content['images_settled']:,} of {content['images_wanted']:,} images ({share:.1%}) of "
        f"{content['identities']:,} identities",
        f"shards: {counts['whole']:,} of {counts['all']:,} whole, {counts['at_work']:,} at work, {counts['failed']:,} failed",
    ]
    if content["images_per_second"]:
        left = f", {duration(content['seconds_left'])} left" if content["seconds_left"] is not None else ""
        lines.append(f"speed: {content['images_per_second']:,.3g} images/s{left}")
    for number, claim in content["at_work"].items():
        lines.append(
            f"  {number} on {claim.get('device')} of {claim.get('host')}, process {claim.get('pid')}: "
            f"{claim.get('images', 0):,} images, begun {claim.get('started')}"
        )
    if content["rejected"]:
        lines.append(f"rejected, of {content['attempts']:,} attempts:{table(content['rejected'])}")
    if content["short"]:
        lines.append(f"images given up, by the reason of the last attempt:{table(content['short'])}")
    for number, failure in content["failed"].items():
        lines.append(
            f"shard {number} failed after {failure['attempts']} attempts on {failure['device']} of {failure['host']}: "
            f"{failure['error']}"
        )
        if failure["traceback"]:
            lines += ["    " + line for line in failure["traceback"].rstrip().splitlines()]
    if content["failed"]:
        lines.append(f"`synthface retry {content['run']}` makes the failed shards again.")
    if content["dataset"]:
        lines.append(f"the dataset is {content['dataset']}")
    elif counts["whole"] == counts["all"]:
        lines.append("all shards are whole; `synthface render` packs them.")
    return "\n".join(lines)


def _speed(whole: list[dict[str, Any]], at_work: list[dict[str, Any]]) -> float | None:
    """Images settled a second: of one worker, over the latest shards, times the workers that are there."""
    recent = sorted(whole, key=lambda content: content["finished"])[-_RECENT:]
    if recent:
        spent = sum(content["seconds"] for content in recent)
        each = sum(content["images_wanted"] for content in recent) / max(spent, 1e-9)
        return round(each * max(len(at_work), 1), 3)
    begun = [claim for claim in at_work if claim.get("images") and claim.get("noted")]
    speeds = [claim["images"] / max(_seconds_between(claim["started"], claim["noted"]), 1e-9) for claim in begun]
    return round(sum(speeds), 3) if speeds else None


def _seconds_between(begin: str, end: str) -> float:
    return (datetime.datetime.fromisoformat(end) - datetime.datetime.fromisoformat(begin)).total_seconds()
