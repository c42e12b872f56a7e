"""Prints what the project needs, to build and to run, one a line: the image has it before the code comes.

With the extras that steps may need: nothing is installed while pods run.
"""

import sys
import tomllib
from pathlib import Path

file = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
project = file["project"]
extras = [
    each
    for name in ("adapters", "search", "tracking")
    for each in project["optional-dependencies"][name]
]
print("\n".join([*file["build-system"]["requires"], *project["dependencies"], *extras]))
