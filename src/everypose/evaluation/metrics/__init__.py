"""The metrics: OKS average precision, PCK, error types and breakdowns."""
