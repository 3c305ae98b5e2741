"""Benchmarks: measurements that are too slow for the test suite, each with its command."""
