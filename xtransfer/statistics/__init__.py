"""Uncertainty of scores and gains: resampling, correction, power, regression; and how well features fit a task.

Pure; arrays in and out.
"""
