"""From stored pictures to uint8 batches.

    sources.py       RecordIO folders and class folders, joined with label offsets
    sampling.py      which pictures an epoch shows, in which order; mixing by weights
    draws.py         random numbers as a function of (seed, epoch, purpose, position)
    decode.py        pictures into one uint8 NHWC array
    augment.py       flip, crop, low resolution, photometric changes, erasing: in place on that array
    rand_augment.py  RandAugment
    loader.py        batches as a pure function of the step, made ahead by threads

No state is shared between batches: the batch of step s is the same with any number of workers, before and after a
resume, and its parts are the same on any number of processes.
"""
