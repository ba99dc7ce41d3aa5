"""What is known about a server from inside: the probe that runs in uvicorn, and what is made of what it saw."""
