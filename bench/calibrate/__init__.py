"""The harness measures itself on this machine: how far its figures can be trusted here, and what limits them.

``parts/`` measures and writes one CSV file for each part into ``results/calibration/``. The page is made from those files
alone: ``calibration_figures.py``, ``targets.py``, ``part_charts/``, ``calibration_page.py``.
"""
