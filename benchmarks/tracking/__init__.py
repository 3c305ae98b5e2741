"""Tracking and smoothing measured on clips with annotated identities."""
