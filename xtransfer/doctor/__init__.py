"""The data doctor: what is in the data sets of a plan, and what is wrong with them, before training.

`examine` reads everything once and compares; `first_look` is the cheap part, which every run does.
"""

from xtransfer.doctor.checkup import Checkup, examine
from xtransfer.doctor.findings import Finding
from xtransfer.doctor.first_look import first_look

__all__ = ["Checkup", "Finding", "examine", "first_look"]
