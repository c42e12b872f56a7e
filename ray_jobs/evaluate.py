"""One trained model in all languages: `python -m ray_jobs.evaluate KEY CONFIG [options]`.

KEY is that of a trial, a selection or the encoder, as `xtransfer plan CONFIG --steps` lists them.
"""

import sys

from xtransfer.cli import main

if __name__ == "__main__":
    key, *rest = sys.argv[1:] if len(sys.argv) > 2 else sys.exit(__doc__)
    sys.argv = ["xtransfer", "run", *rest, "--only", f"model:{key}", "--place", "ray.address=auto"]
    main()
