"""From identities to pictures: plan, generate, crop, gate, shards, and the packed dataset behind them.

rendering.py  the whole of `render`, up to the shards; finish.py: pack, verify, contact sheet; status.py; rehearsal.py
people.py     who is photographed, and how often
plan.py       how the work is cut, and the hash of everything that decides a pixel; measure.py: how fast a device is
ledger.py     which shards are to be made, and what became of them
launch/       what starts the workers: local processes, Ray, SLURM
worker.py     one device making shards; shards.py: shards on the disk, their markers and claims
studio.py     the threads of a worker, around desk.py
draw.py       lots of one size; networks.py: generator, encoders, detector; dry.py: neither
develop.py    crop, look, embed; halving.py: in smaller batches when the memory ends
sitting.py    one person's pictures, in rounds; gate.py: which are kept; tally.py: what happened there
"""
