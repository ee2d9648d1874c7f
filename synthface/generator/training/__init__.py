"""Arc2Face's own training (sections 3.2 and 3.3), and small generators from scratch.

train.py        the whole: pairs → cache → autoencoder → denoiser → checkpoint in the official layout
pairs.py        pictures and their embeddings, matched row by row
pictures.py     JPEGs to uint8 pictures of one size, in threads
restore.py      a face restoration network that enlarges small crops (GFPGAN's interface)
cache.py        latents (or small pictures) encoded once and memory-mapped
source.py       where clean latents come from; order.py: which pictures a step sees
networks.py     the small networks of a recipe
vocabulary.py   a CLIP tokenizer of the five words that the prompt needs
finetune.py     networks to go on from: Stable Diffusion 1.5, or Arc2Face
denoiser.py     the noise-prediction loss; identity_loss.py: an optional term of it
autoencoder.py  the loss of a latent generator's first stage; critic.py: of its last; autoencoder_training.py: both
perceptual.py   errors as a recogniser sees them
loop.py         steps, log, checkpoints, signals: the same for all stages
checkpoints.py  atomic checkpoints and exact resume
average.py      averaged weights
export.py       the official layout
show.py         sample sheets
processes.py    accelerate; log.py: log.jsonl
rehearsal.py    what a training would take
"""
