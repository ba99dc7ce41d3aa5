"""Measure which concurrency pattern a FastAPI endpoint needs, and what the wrong one costs everybody else."""
