"""The papers' studies as functions on any model and data: what ``everypose study`` runs. A file is a study."""
