"""From an experiment to its plan, whole before anything runs.

planner       the front: experiment -> plan
draft         the plan so far
inputs        the steps that make inputs: the encoder, each data set tokenised once
fingerprints  digests of what comes from outside; `remembered`: as records remember them
curriculum, lessons    what is learned, and what the trials of one sweep learn from
sweeps, intermediate, targets, evaluations    the steps of one sweep, of the two phases, and of scoring
averages, analyses    the steps that average weights, and that measure models beside their scores
pruning       the steps that estimate pairs and prune them
subplan       parts of a plan, for `run --only`
idle          settings that the plan has no use for
"""
