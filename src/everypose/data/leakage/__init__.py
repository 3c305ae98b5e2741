"""Images that two datasets share."""
