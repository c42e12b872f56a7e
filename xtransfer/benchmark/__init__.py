"""Predictions and scores in the official form of XTREME and XTREME-R.

a recorded run ── submission ──> <task>/test-<lang>.<ext> ── scorecard ──> per language ... overall
"""
