"""Measure the milestones beside what people would use instead: `python -m lab.bench`."""
