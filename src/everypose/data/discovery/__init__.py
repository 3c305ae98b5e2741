"""Locating the images and annotation files of a dataset in a folder."""
