"""Training single-stage networks from typed TOML recipes."""
