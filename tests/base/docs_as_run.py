"""The blocks of commands of the pages, and their commands as the tests run them."""

from __future__ import annotations

import re

from docs_readers import SMALL
from test_docs import ROOT, Block, blocks

# pages whose console blocks other tests run as they stand
CONSOLE_ELSEWHERE = {
    "docs/identities.md": "tests/base/test_identities_page.py",
    "docs/tutorial.md": "tests/base/test_console.py",
}


UNJUDGED = (
    "--set gate.min_center_similarity=null --set gate.nearest_center=false --set gate.min_reference_similarity=null"
)
EXTRAS = (
    "python -c \"import importlib.metadata as m; known = m.metadata('synthface').get_all('Provides-Extra'); "
    r"assert {*filter(None, '\1'.split(','))} <= {*known}" + '"'
)
OFFLINE = "The offline mode is on, so nothing was downloaded"
PUBLIC = r"--recipe (?:arc2face|train|casia|dcface)[\w.-]+"
# what a fence says it needs, or "" for all blocks; in which commands; what stands in the page; what is run here
AS_HERE = [
    # the checkout: its targets are what CI runs
    ("a-checkout", r"^make", r"^make", f"make --directory {ROOT} --dry-run"),
    ("", r"pip install", r"^(?:uv )?pip install '?[\w.]+(?:\[([\w,]+)\])?'?", EXTRAS),
    ("zsh", r"zsh_source", r'eval "\$\((.*)\)"', r"\1 | grep compdef"),
    # the hub is not here: a pull ends where it begins, and the weights that ship stand in for the public ones; another failure
    # has exit code 1, too, so words of the refusal are asked for
    ("the-weights", r"synthface models pull (?!.*--yes)", r"$", " --yes"),
    ("the-weights", r"synthface models pull (?!.*--from)", r"$", f"  # exit code 1: {OFFLINE}"),
    ("", r"models pull taesd .*# exit code 1$", r"$", f": {OFFLINE}"),
    ("the-weights", r"synthface models pull .*--from", r"$", "  # exit code 1: There is no folder /media/weights."),
    ("the-weights", r"synthface models verify \w", r"$", '  # exit code 1: "encoder/config.json": "missing"'),
    ("the-weights", r"synthface doctor --recipe", r"$", "  # exit code 1: missing: arcface.onnx"),
    ("the-weights", r"synthface audit .*--networks", r"$", "  # exit code 1: are not here: 1 of 1 files is missing"),
    ("the-weights", r"synthface portrait .*arc2face-controlnet", r"$",
     "  # exit code 1: The weights 'arc2face-controlnet' are not here"),
    ("the-weights", r"synthface embed casia/", r"--out real.npz", "--out casia.npz"),
    ("the-weights", r"synthface render (--run own$|.*prior.file=own)", r"$", " --dry-run"),
    ("the-weights|gpus", r"synthface (embed|fit-prior|sample-ids|render|train-fr|portrait) (?!.*--dry-run)", PUBLIC,
     "--recipe stand-in.yaml"),
    ("the-weights", r"synthface", r" --encoder arcface(?: --detector scrfd)?", ""),
    # GPUs and the cluster: two processes on this machine, and commands that stand in for SLURM's
    ("", r"torchrun", r"--nproc-per-node \d+", "--nproc-per-node 2"),
    ("gpus", r"cuda", r"cuda:0,cuda:1\S*", "cpu,cpu"),
    ("gpus", r"cuda", r"cuda:\d", "cpu"),
    ("a-cluster", r"RAY_ADDRESS", r"RAY_ADDRESS=\S+ ", ""),
    ("", r" /shared/", r" /shared/", " shared/"),
    # sizes
    ("", r"synthface parametric people", r"--ids \d{4,} --per-id \d+", "--ids 40 --per-id 3"),
    ("", r"synthface parametric people", r"--ids \d{2,3} --per-id \d+", "--ids 12 --per-id 3"),
    ("", r"synthface parametric benchmarks", r"( --pairs \d+)? --out", " --pairs 20 --out"),
    ("", r"synthface parametric sheet", r"( --ids \d+ --per-id \d+)? --out", " --ids 2 --per-id 2 --out"),
    ("", r"synthface render (?!.*(dry|--run parts))", r"--ids \d+ --per-id \d+", "--ids 4 --per-id 3"),
    ("", r"synthface render .*--dry-run", r"--ids 10000", "--ids 1000"),
    ("", r"synthface render (--devices|--run (own|sampled)\b)(?!.*dry)", r"$", " --ids 4 --per-id 3"),
    ("", r"synthface sample-ids --run (own|sampled)\b(?!.*--ids)", r"$", " --ids 20"),
    ("", r"synthface render .*--identities", r"--per-id \d+", "--per-id 1"),
    ("", r"synthface render .*generator\.model=(?!dry)", r"$", f" {UNJUDGED}"),
    ("", r"synthface portrait", r"--n \d+", "--n 2"),
    ("", r"synthface train-fr (?!--recipe casia-control --dry-run)|synthface train-fr$", r"$", f" {SMALL}"),
    ("", r"synthface train-generator", r"--recipe [\w-]+|--set train_generator.mode=scratch",
     "--recipe tiny-generator.yaml"),
    ("", r"synthface train-generator", r"--steps \d+", "--steps 2"),
    ("", r"synthface preview", r"--label 17 --label 403", "--label 1 --label 3"),
    # a key that is pressed
    ("", r"\n\^C", r"(.*)\n\^C", r"timeout --preserve-status --signal INT 4 \1  # exit code 130"),
]  # fmt: skip


def name_of(block: Block) -> str:
    return str(block.page.relative_to(ROOT))


def as_here(block: Block, command: str, changes: list[tuple[str, str, str, str]] = AS_HERE) -> str:
    """The command as it is run here."""
    needs = set(block.info.partition("needs=")[2].split(","))
    command = re.sub(r"\s+# (?!exit code).*$", "", command.replace("\\\n", " "))
    for needed, within, written, run in changes:
        if (not needed or needs & {*needed.split("|")}) and re.search(within, command):
            command = re.sub(written, run, command, count=1)
    return command


def commands(block: Block) -> list[str]:
    """The commands of a block, lines that are continued joined, with a Ctrl-C that follows them."""
    if block.info.startswith("console"):
        return [found[0] for found in re.finditer(r"(?<=^\$ )(?:.*\\\n)*.*(?:\n\^C)?", block.text, re.MULTILINE)]
    return re.findall(r"^(?:.*\\\n)*.*\S.*$", block.text, re.MULTILINE)


def pages() -> dict[str, list[Block]]:
    """Page → its blocks of commands that are run here."""
    found: dict[str, list[Block]] = {}
    for block in blocks():
        kind = block.info.split(" ")[0]
        if kind == "sh" or (kind == "console" and name_of(block) not in CONSOLE_ELSEWHERE):
            found.setdefault(name_of(block), []).append(block)
    return found
