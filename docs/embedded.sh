# The models that ship with synthface, from nothing, by the public commands; run by `make embedded` in a folder of its own.
# Every command goes on where it was stopped, so this script may be started again at any time.
PROCESSES=${PROCESSES:-2}
train() { torchrun --nproc-per-node "$PROCESSES" --no-python -- synthface "$@"; }

# the conditioning encoder
synthface parametric people --ids 10000 --per-id 16 --out people-16
train train-fr --recipe embedded-encoder --data people-16 --run encoder
synthface evaluate encoder/fr/model.pt --safetensors encoder.safetensors

# the verifier, on fewer pictures of the same people
synthface parametric people --ids 10000 --per-id 8 --out people
train train-fr --recipe embedded-verifier --data people --run verifier
synthface evaluate verifier/fr/model.pt --safetensors verifier.safetensors

# the prior and the generator, in the space of that encoder
synthface embed people --set encoder.model=encoder.safetensors --out people.npz
synthface fit-prior people.npz --encoder embedded --out prior.safetensors
train train-generator --recipe embedded-generator --data people --embeddings people.npz --run generator
