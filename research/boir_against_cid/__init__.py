"""BoIR against CID, and BoIR without each of its training losses, on people never seen in training."""
