"""Everypose in the tools that teams label and look at data with. Each module imports its tool only when it is used."""
