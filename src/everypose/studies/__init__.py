"""The papers' studies as functions on any model and data, one study a file; ``everypose study`` runs them."""
