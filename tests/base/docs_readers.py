"""What lies in the folder of a page's reader before its first command: things, how they are made, which page supposes them."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMALL = "--set train.epochs=2 --set train.batch_size=4 --set evaluate.pairs=20"
DRY = "--set generator.model=dry --set encoder.model=dry --set encoder.verifier=dry"
# name → what it is made of; the command that makes it
LAID = {
    "people": ("", "synthface parametric people --ids 40 --per-id 4 --out people"),
    "twelve": ("", "synthface parametric people --ids 12 --per-id 8 --out twelve"),
    "faces": ("people", "synthface export people --to folder --out faces"),
    "photo.jpg": ("faces", "cp $(find faces -name '*.jpg' | sort | head -n 1) photo.jpg"),
    "person.npz": ("photo.jpg", "synthface embed photo.jpg --average --out person.npz"),
    "real.npz": ("people", "synthface embed people --out real.npz"),
    "real-512.npz": ("", f"{sys.executable} -c \"import numpy as np; r = np.random.default_rng(0); "
                     "rows = np.repeat(r.standard_normal((600, 512)), 4, 0) + .7 * r.standard_normal((2400, 512)); "
                     "np.savez('real-512.npz', embeddings=rows.astype('f4'), labels=np.arange(2400) // 4)\""),
    "prior.safetensors": ("real.npz", "synthface fit-prior real.npz --out prior.safetensors"),
    "prior-512.safetensors": (
        "real-512.npz", "synthface fit-prior real-512.npz --encoder embedded --out prior-512.safetensors"
    ),
    "run-512": ("real-512.npz", "synthface fit-prior real-512.npz --encoder embedded --run run-512"),
    "pairs.bin": ("bins", "cp bins/mixed.bin pairs.bin"),
    "model.pt": ("run", "cp run/fr/model.pt model.pt"),
    "stand-in.yaml": ("", "true"),
    "bins": ("", "synthface parametric benchmarks --pairs 20 --out bins && cp bins/mixed.bin bins/lfw.bin"),
    "rendered": ("", "synthface sample-ids --run rendered && synthface render --run rendered --ids 4 --per-id 3"),
    "run": ("rendered", f"cp -r rendered run && synthface train-fr {SMALL}"),
    "sampled": ("", "synthface sample-ids --run sampled"),
    "shared": ("", "synthface sample-ids --recipe stand-in.yaml --run shared/run && cp -r shared/run shared/big"),
    "recogniser.onnx": ("", f"synthface evaluate {ROOT}/synthface/embedded/encoder.safetensors --onnx recogniser.onnx"),
    "parts": ("", f"synthface sample-ids --run parts --ids 20 {DRY}"),
    "stop": ("", f"synthface sample-ids --run stop --ids 100 --set render.per_id=40 {DRY}"),
    "strict": ("", "synthface sample-ids --run strict --ids 200 --threshold 0.3"),
    "people.csv": ("", "printf 'label,group\\n0,a\\n1,b\\n2,a\\n3,b\\n' > people.csv"),
    "part-0.npy": ("", f"{sys.executable} -c \"import numpy as np; "
                   "np.save('part-0.npy', np.random.default_rng(0).standard_normal((900, 512)))\""),
    ".config": ("", "mkdir -p .config/fish/completions"),
    ".venv": ("", f"ln -s {sys.prefix} .venv"),
    "render-slurm.sbatch": ("", f"cp {ROOT}/docs/render-slurm.sbatch ."),
    "mistyped.yaml": ("", "printf 'extends: arc2face-0.5m\\nidentities: {treshold: 0.3}\\nrender: {per_id: 0}\\n' > mistyped.yaml"),
    "adaface.ckpt": ("", f"cp {ROOT}/tests/golden/insightface/mbf_narrow.pt adaface.ckpt"),
}  # fmt: skip
# page → what its reader has: names of LAID, NAME=LAID where it has another name there
SUPPOSED = {
    "README.md": "photographs=faces bins",
    "docs/audit.md": "run real=faces",
    "docs/cli.md": "run=strict",
    "docs/dataset.md": "people=twelve",
    "docs/generator.md": " ".join(f"{name}=photo.jpg" for name in (
        "me.jpg", "monday.jpg", "tuesday.jpg", "her.jpg", "him.jpg", "pose.png")),
    "docs/how-to/clusters.md": "prior.safetensors bins",
    "docs/how-to/mix-with-real-data.md": "run real=faces faces_webface_112x112=people bins",
    "docs/how-to/own-embeddings.md": "casia=faces real.npz=real-512.npz unlabelled.npy=part-0.npy people.npz=real-512.npz",
    "docs/how-to/own-recogniser.md": "adaface_ir101_webface4m.ckpt=adaface.ckpt w600k_r50.onnx=recogniser.onnx recogniser.onnx "
    "benchmarks=bins run faces",
    "docs/how-to/train-the-generator.md": "faces_webface=faces",
    "docs/installation.md": ".config .venv",
    "docs/recipe.md": "mistyped.yaml",
    "docs/render.md": "shared parts stop render-slurm.sbatch",
    "docs/train-generator.md": "faces_webface=faces webface.npz=real.npz",
    "docs/tutorial.md": ".venv photographs=faces bins",
}  # fmt: skip

# the demonstration in the place of a recipe that wants public weights, and a generator's training that takes seconds
RECIPES = {
    "stand-in.yaml": """
extends: embedded
name: stand-in
encoder: {verifier: null}
identities: {count: 20}
generator: {num_inference_steps: 2}
gate: {min_center_similarity: null, nearest_center: false, min_reference_similarity: null, max_duplicate_similarity: null}
render: {ids: 4, per_id: 3, measure_seconds: 0.5}
audit: {max_leakage_p99: 0.9, max_leakage_share: 1}  # to a small encoder all are alike
""",
    "tiny-generator.yaml": """
extends: embedded-generator
name: tiny-generator
generator: {num_inference_steps: 2}
train_generator:
  batch_size: 4
  steps: 2
  warmup_steps: 1
  checkpoint_every: 1
  sample_every: 0
  identity_loss_weight: 0
  unet: {channels: [16, 32, 32], attention: [false, true, true], head_size: 16}
  text: {layers: 1}
  vae: {channels: [8, 8, 16, 16], batch_size: 4, steps: 2}
""",
}
# what stands in for SLURM's commands: any job is accepted, and of a script that is more than submitit's the first task is run
SLURM = {
    "srun": "#!/bin/sh\n",
    "sbatch": """#!/bin/sh
for script; do :; done
echo "Submitted batch job 4711"
grep -q submitit "$script" || SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_COUNT=1 exec bash "$script"
""",
}


# the command of an example → what its reader has
EXAMPLES = {
    "embed": "faces casia=faces faces_webface_112x112=people a.jpg=photo.jpg b.jpg=photo.jpg",
    "fit-prior": "webface.npz=real-512.npz part-0.npy",
    "sample-ids": "run=run-512 prior.safetensors=prior-512.safetensors webface.npz=real-512.npz",
    "render": "run=sampled big=sampled shared people.npz=real.npz",
    "status": "run shared/big=run",
    "retry": "run shared/big=run",
    "train-fr": "run big=rendered faces_webface_112x112=people real=faces bins",
    "evaluate": "run benchmarks=bins adaface_ir101_webface4m.ckpt=adaface.ckpt w600k_r50.onnx=recogniser.onnx lfw.bin=pairs.bin "
    "cfp_fp.bin=pairs.bin seed0.pt=model.pt seed1.pt=model.pt seed2.pt=model.pt",
    "audit": "run casia=faces faces_emore=people verifier.onnx=recogniser.onnx people.csv",
    "report": "run big=run",
    "portrait": "me.jpg=photo.jpg monday.jpg=photo.jpg tuesday.jpg=photo.jpg friday.jpg=photo.jpg her.jpg=photo.jpg "
    "him.jpg=photo.jpg pose.png=photo.jpg person.npz",
    "train-generator": "faces faces.npz=real.npz faces_webface=faces webface.npz=real.npz",
    "pack": "photographs=faces run",
    "verify": "run faces_emore=people half_copied=people",
    "export": "run faces_emore=people",
    "preview": "run faces_emore=people",
    "validate": "mine.yaml=stand-in.yaml",
}
