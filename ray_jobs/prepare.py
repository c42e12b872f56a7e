"""The data sets of an experiment only: `python -m ray_jobs.prepare CONFIG [options]`."""

import sys

from xtransfer.cli import main

if __name__ == "__main__":
    sys.argv = ["xtransfer", "run", *sys.argv[1:], "--only", "data", "--place", "ray.address=auto"]
    main()
