"""Training tasks: what one family of methods needs to train on one or several datasets."""
