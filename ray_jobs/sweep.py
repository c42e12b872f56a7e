"""One sweep and what it needs: `python -m ray_jobs.sweep PHASE TASK CONFIG [options]`.

PHASE is `intermediate` or `target`; TASK is a task's name, or for a target `xnli after mnli`.
"""

import sys

from xtransfer.cli import main

if __name__ == "__main__":
    if len(sys.argv) < 4:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    phase, task, *rest = sys.argv[1:]
    part = ["--only", f"{phase}:{task}", "--place", "ray.address=auto"]
    sys.argv = ["xtransfer", "run", *rest, *part]
    main()
