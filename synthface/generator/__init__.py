"""The generator: from an embedding to pictures of the person.

arc2face.py      the class that ties it all
open.py          from a recipe to the generator
layout.py        where the parts of a checkpoint lie
weights.py       reading tensors safely, all of them or none
load.py          from folders to networks
conditioning.py  embedding → prompt: the text encoder with the substituted token, or an MLP
noise.py         each picture's noise from its own seed
schedule.py      diffusers' schedulers
sampling.py      the denoising loop with guidance; attention.py: fused or plain
control.py       ControlNet
lora.py          low-rank updates, such as LCM-LoRA
decode.py        latents → pictures
pixels.py        the autoencoder that does nothing
device.py        devices, precisions, memory
portrait.py      single subjects; sheets.py: sheets of pictures
training/        Arc2Face's own training
"""

from synthface.generator.arc2face import Arc2Face
from synthface.generator.open import open_generator, sampling_options

__all__ = ["Arc2Face", "open_generator", "sampling_options"]
