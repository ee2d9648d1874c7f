"""Train a face recogniser on a RecordIO dataset and measure it.

data/             stored pictures → uint8 batches
backbones/        the networks by name; heads.py: margin heads
training/         batches → recogniser; train.py: and what surrounds it; rehearsal.py: its cost
verification.py   insightface's protocol on arrays; bins.py: its files; benchmarks.py: which sets are meant
evaluate.py       recogniser → table.py, plots.py; embed.py, color_check.py, overlap.py: its parts
models.py         any recogniser as one thing; encoder.py: as the pipeline's encoder
checkpoints.py    files of recognisers; lineages.py: those of others; torch_file.py: read without running anything
weights.py        as safetensors; export.py: as ONNX
devices.py        where a network runs
"""
