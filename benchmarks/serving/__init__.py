"""The service under load: 64 clients with good, damaged, oversized, slow and vanishing requests."""
