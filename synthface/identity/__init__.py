"""Mathematics on the hypersphere: the prior, identities, their variation."""
