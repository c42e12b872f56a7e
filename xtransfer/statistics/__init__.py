"""Uncertainty of scores and gains: resampling, correction, power, regression. Pure; arrays in and out."""
