"""Slow proofs: what is measured once, with the command, and not in every test run."""
