"""An app of 30 endpoints, 6 of which block the event loop, each in its own way; the other 24 are harmless."""
