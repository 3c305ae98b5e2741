"""What bulk runs cost on one machine, and a simulation of many workers on one object store."""
