"""Mathematics on the hypersphere: the prior, identities, their variation, and how good a set of them is.

sphere.py         operations on unit rows; threads.py: work on all cores whose result is the same on any number of them
embeddings.py     embedding files as one set, in blocks; formats.py: .npy, .npz, .safetensors; origin.py: whose they are
average.py        one vector a person
fit.py            embeddings → prior; moments.py: its sums in one pass; prior.py: its file; priors.py: which one is meant
density.py        candidates drawn from the prior
sample.py         greedy sampling; neighbours.py, int8.py: who is too near to whom, exactly
confirm.py        the proof by faiss; identities.py: the file; into_run.py: the whole of `sample-ids`
perturb.py        the condition of one picture; variations.py: the ways it may differ from its center
conditions.py     conditions of a set, guarded; nearest.py: whose is a point
audit.py          how good a dataset of embeddings is; audit_*.py: its parts; separability.py: two distributions apart
figures.py        plots of prior and identities
"""
