"""A whole experiment as a Ray job: `ray job submit -- python -m ray_jobs.experiment CONFIG [options]`.

The options are those of `xtransfer run`; the job's Ray cluster is the one that it was submitted to.
"""

import sys

from xtransfer.cli import main

if __name__ == "__main__":
    sys.argv = ["xtransfer", "run", *sys.argv[1:], "--place", "ray.address=auto"]
    main()
