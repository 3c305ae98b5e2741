"""Evaluation records, tables, curves and HTML pages."""
