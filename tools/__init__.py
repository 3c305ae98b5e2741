"""Scripts that maintain the repository: its site, its structure, its language."""
