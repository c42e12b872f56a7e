"""Prints what the project needs, to build and to run, one a line: the image has it before the code comes."""

import sys
import tomllib
from pathlib import Path

file = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
print("\n".join([*file["build-system"]["requires"], *file["project"]["dependencies"]]))
