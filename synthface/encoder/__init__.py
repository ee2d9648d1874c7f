"""Picture to embedding: detect, align, embed.

network.py    ONNX networks: one picture a thread on the CPU, whole batches on a GPU
scrfd.py      the face detector
align.py      five landmarks → the 112-pixel crop
faces.py      which face is meant, with padding when it fills the picture
recognise.py  crops → embeddings
open.py       names and files → encoders and detectors
pictures.py   bytes → pixels, without trusting the bytes
sources.py    photographs, folders and RecordIO as one stream
crops.py      undecoded pictures → aligned crops, on all cores
formats.py    .npy, .npz and .safetensors that grow row by row
store.py      rows on their way to the disk, resumable
pose.py       where a face looks, how sharp a crop is
embedding.py  the whole, from a source to an embedding file; finish.py its end
"""

from synthface.encoder.open import open_detector, open_encoder
from synthface.encoder.recognise import Encoder, Provenance

__all__ = ["Encoder", "Provenance", "open_detector", "open_encoder"]
