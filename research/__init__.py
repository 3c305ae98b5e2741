"""One-off scripts and logs; not part of the package."""
