"""HeatNet: the smallest top-down method, to copy from."""
