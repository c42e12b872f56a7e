"""Uncertainty of scores and gains: resampling, correction, power, regression; and how well features fit a task.

Pure; arrays in and out.

resampling         the paired bootstrap over test examples
corrections        of p-values that are read together
means              means over a few runs, with the interval that their spread gives
power              how many seeds it takes to see a gain
regression         least squares, with intervals that allow for rows that belong together
transferability    how well features fit a task, told without training: LogME and LEEP
"""
