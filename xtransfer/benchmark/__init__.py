"""Predictions and scores in the official form of XTREME and XTREME-R.

a recorded run ── submission ──> <task>/test-<lang>.<ext> ── scorecard ──> per language ... overall

benchmarks    tasks by group, and the languages of each
choice        which recorded run of each target is submitted
formats       what the file of a task holds: `lines`, an entry a line, or `objects`, JSON keyed by ids
submission    the folder of predictions
scorecard     such a folder, scored as the official evaluate.py does it
"""
