"""Ray on two nodes of which one is killed, and SLURM with stand-in commands."""

from __future__ import annotations

import itertools
import os
import re
import signal
import stat
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from render_run import Command, dataset_of, until

from synthface.render import shards

Run = Callable[..., Any]
MakeRun = Callable[..., Path]
Start = Callable[..., Command]
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A head without CPUs for workers, and two nodes of one CPU each, by Ray's own cluster utilities."""
    from ray.cluster_utils import Cluster

    compiled = request.config.cache.mkdir("render-bytecode")  # type: ignore[union-attr]
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv("PYTHONPYCACHEPREFIX", str(compiled))
    patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    made = _patiently(lambda: Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}))
    for _ in range(2):
        _patiently(lambda: made.add_node(num_cpus=1))
    yield made
    made.shutdown()
    patch.undo()


def _patiently(begin: Callable[[], Any]) -> Any:
    """Ray gives a node thirty seconds to start, which a busy machine may not have for it."""
    for attempt in itertools.count(1):
        try:
            return begin()
        except Exception:
            if attempt == 3:
                raise
    raise AssertionError("it counts for ever")


def test_ray_makes_the_same_on_two_nodes(cluster: Any, start: Start, make_run: MakeRun, expected: str) -> None:
    run = make_run()
    env = {"RAY_ADDRESS": cluster.address}
    content = start("render", "--run", run, "--launcher", "ray", "--json", env=env).json()
    assert content["workers"] == 2
    assert content["dataset_sha256"] == expected == dataset_of(run)
    hosts = {(run / "shards" / f"{number:05d}.json").read_text().count('"pid"') for number in range(5)}
    assert hosts == {1}


def test_a_node_killed_in_mid_shard_loses_nothing(
    cluster: Any, start: Start, synthface: Run, make_run: MakeRun
) -> None:
    # several seconds a shard, so that its claim tells of images
    work = {"ids": 60, "per_id": 200, "shard_images": 4_000}
    run, whole = make_run(render=work), make_run("whole", render=work)
    env = {"RAY_ADDRESS": cluster.address}
    command = start("render", "--run", run, "--launcher", "ray", "--json", env=env)
    # Ray's workers may take minutes to come on a machine whose memory is busy
    until(lambda: any(claim.get("images", 0) > 0 for claim in shards.claims(run / "shards").values()), 400, command)
    victim = next(c["pid"] for c in shards.claims(run / "shards").values() if c.get("images", 0) > 0)
    raylet = next(parent for parent in psutil.Process(victim).parents() if "raylet" in parent.name())
    for process in (psutil.Process(victim), raylet):  # the whole node dies at one instant
        process.send_signal(signal.SIGKILL)
    code, out, err = command.result()
    assert code in (0, 3), err
    assert "the worker was lost" in err
    assert "It is begun again." in err
    assert '"complete": true' in out
    assert synthface("render", "--run", whole).code == code
    assert dataset_of(run) == dataset_of(whole)


def test_without_ray_the_package_is_named(synthface: Run, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "synthface.render.launch.on_ray", raising=False)
    refused = synthface("render", "--run", make_run(), "--launcher", "ray")
    assert refused.code == 1
    assert "pip install 'synthface[ray]'" in refused.err


def test_an_address_without_a_cluster_is_said(start: Start, make_run: MakeRun) -> None:
    refused = start("render", "--run", make_run(), "--launcher", "ray", env={"RAY_ADDRESS": "127.0.0.1:1"})
    code, _, err = refused.result()
    assert code == 1
    assert "Ray cannot be reached" in err
    assert "RAY_ADDRESS" in err


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`sbatch` and `srun` that run the array's tasks here, one after the other, as SLURM would on its nodes."""
    folder = tmp_path / "slurm-commands"
    folder.mkdir()
    sbatch = f"""\
        #!{sys.executable}
        import os, pathlib, re, subprocess, sys, time
        script = pathlib.Path(sys.argv[-1])
        text = script.read_text()
        pathlib.Path({str(folder / "script.sh")!r}).write_text(text)
        first, last = re.search(r"--array=(\\d+)-(\\d+)", text).groups()
        print("Submitted batch job 4711", flush=True)
        if os.fork():
            sys.exit()  # the tasks run when sbatch has ended
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nothing, descriptor)
        pickled = script.parent / "4711_1_submitted.pkl"
        while not pickled.exists():
            time.sleep(0.05)
        for task in range(int(first), int(last) + 1):
            env = {{**os.environ, "SLURM_JOB_ID": str(4712 + task), "SLURM_ARRAY_JOB_ID": "4711",
                    "SLURM_ARRAY_TASK_ID": str(task), "SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1",
                    "SLURM_NODEID": "0", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_JOB_NODELIST": "node0"}}
            with open(script.parent / f"task{{task}}.log", "wb") as log:
                code = subprocess.run(["bash", script.parent / "4711_submission.sh"], env=env, stdout=log, stderr=log).returncode
            (script.parent / f"task{{task}}.code").write_text(str(code))
    """
    srun = """\
        #!/bin/sh
        while [ "${1#-}" != "$1" ]; do
            case "$1" in --output|--error) shift 2 ;; *) shift ;; esac
        done
        exec "$@"
    """
    for name, text in (("sbatch", sbatch), ("srun", srun)):
        path = folder / name
        path.write_text(textwrap.dedent(text))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def test_slurm_runs_the_parts_as_an_array_and_the_last_one_packs(
    slurm: Path, start: Start, make_run: MakeRun, expected: str
) -> None:
    run = make_run(render={"parts": 2, "slurm": {"slurm_partition": "gpu", "cpus_per_task": 4, "timeout_min": 90}})
    content = start("render", "--run", run, "--launcher", "slurm", "--json").json()
    assert content == {"job": "4711", "parts": 2, "logs": str(run / "slurm")}
    script = (slurm / "script.sh").read_text()
    assert "#SBATCH --partition=gpu" in script
    assert "#SBATCH --cpus-per-task=4" in script
    assert "#SBATCH --time=90" in script
    assert re.search(r"--array=0-1", script)
    code = run / "slurm" / "task1.code"
    until(lambda: code.exists() and bool(code.read_text()), 250)
    logs = "".join((run / "slurm" / f"task{task}.log").read_text() for task in (0, 1))
    assert [(run / "slurm" / f"task{task}.code").read_text() for task in (0, 1)] == ["0", "0"], logs
    assert dataset_of(run) == expected


def test_without_slurm_it_is_said(synthface: Run, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    refused = synthface("render", "--run", make_run(), "--launcher", "slurm")
    assert refused.code == 1
    assert "SLURM does not take the job" in refused.err


def test_a_parameter_that_slurm_does_not_have_is_said(slurm: Path, synthface: Run, make_run: MakeRun) -> None:
    run = make_run(render={"slurm": {"slurm_partitoin": "gpu"}})
    refused = synthface("render", "--run", run, "--launcher", "slurm")
    assert refused.code == 1
    assert "render.slurm" in refused.err


def test_the_kubernetes_manifest_is_an_indexed_job_over_all_parts() -> None:
    (job,) = [part for part in yaml.safe_load_all((DOCS / "render-kubernetes.yaml").read_text()) if part]
    spec = job["spec"]
    assert (job["apiVersion"], job["kind"], spec["completionMode"]) == ("batch/v1", "Job", "Indexed")
    (container,) = spec["template"]["spec"]["containers"]
    command = " ".join([*container["command"], *container.get("args", [])])
    assert f"--part $((JOB_COMPLETION_INDEX + 1))/{spec['completions']}" in command
    assert spec["template"]["spec"]["restartPolicy"] in ("Never", "OnFailure")
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts <= {volume["name"] for volume in spec["template"]["spec"]["volumes"]}


def test_the_sbatch_script_runs_its_part(tmp_path: Path) -> None:
    import subprocess

    told = tmp_path / "told"
    fake = tmp_path / "synthface"
    fake.write_text(f'#!/bin/sh\necho "$@" > {told}\n')
    fake.chmod(0o755)
    script = DOCS / "render-slurm.sbatch"
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "3",
           "SLURM_ARRAY_TASK_COUNT": "16", "RUN": "/shared/run"}  # fmt: skip
    subprocess.run(["bash", str(script)], env=env, check=True)
    assert told.read_text().split() == ["render", "--run", "/shared/run", "--part", "3/16"]
    assert re.search(r"^#SBATCH --array=1-16", script.read_text(), re.MULTILINE)
