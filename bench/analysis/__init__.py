"""Pure functions from the files of a run to its numbers. Nothing in here starts a process or draws a picture."""
