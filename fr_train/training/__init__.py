"""From batches to a recogniser.

recogniser.py    uint8 pictures and labels → loss: normalisation, backbone, margin head
optimizer.py     SGD without decay on norms and biases; step, cosine and poly schedules
device.py        device, processes and precision by accelerate; out of memory, explained
sync_norm.py     batch norm over all processes, also where there is no CUDA
state.py         what a checkpoint holds, and going on from it
log.py           log.jsonl, TensorBoard, progress
loop.py          the training
"""
