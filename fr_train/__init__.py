"""Train a face recogniser on a RecordIO dataset and measure it."""
