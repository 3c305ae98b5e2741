"""Downloading the models of the catalog: one client for the hub and for releases, whose answers are not trusted."""
