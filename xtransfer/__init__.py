"""Intermediate-task training for zero-shot cross-lingual transfer, as a distributed job suite."""

__version__ = "0.1.0"
