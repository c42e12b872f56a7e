"""From a plan and its records to report.md, report.html, tables and drawings.

build        results and remarks, from a plan and its records; `results`, `remarks`: what they are
draws, evidence    scores of every target after every arm, with draws of what else they might have been
scores, quantities, verdicts    gains, and what is decided of each claim; `levels`: at which level
typology, regressions    gains by resources and by distance
answer       all of these, as data; `analyses`: what analyses found
study        what was done for it; `costs`, `savings`: what it took, and what searching spared
contamination    which scores are on data that chose their models
published    published scores beside its own
markdown, page, tables, pictures, serving    as files to read, to compute with, to print, and as a page while a run goes on
numbers, scatter, series    digits, points and colours: the same everywhere
"""
