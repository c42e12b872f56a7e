"""One trained model in all languages: `python -m ray_jobs.evaluate KEY CONFIG [options]`.

KEY is that of a trial, a selection or the encoder, as `xtransfer plan CONFIG --steps` lists them.
"""

import sys

from xtransfer.cli import main

if __name__ == "__main__":
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    key, *rest = sys.argv[1:]
    sys.argv = ["xtransfer", "run", *rest, "--only", f"model:{key}", "--place", "ray.address=auto"]
    main()
