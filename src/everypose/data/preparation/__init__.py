"""Data sets of PoseBH: from the original downloads to the annotation files that the recipes name."""
