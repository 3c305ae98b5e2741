"""Damaged inputs for every reader and command: mutations, targets, and a runner for many of them."""
