"""The data doctor: what is in the data sets of a plan, and what is wrong with them, before training.

`examine` reads everything once and compares; `first_look` is the cheap part, which every run does.

needs        which data sets a plan needs, and which of them meet in the history of one model
first_look   every file is there, opens, and begins as it should
checkup      the whole check: every file read once (`survey`), then compared
contents     what is wrong inside of single data sets
overlaps     what a model has seen of the data that it is scored on; `known`: what the literature states of it
texts        when two texts are the same
findings     what the doctor says: a level, a place, what was found, what to do
"""

from xtransfer.doctor.checkup import Checkup, examine
from xtransfer.doctor.findings import Finding
from xtransfer.doctor.first_look import first_look

__all__ = ["Checkup", "Finding", "examine", "first_look"]
