"""Entry points that a RayJob runs: each parses its arguments and makes one library call."""
