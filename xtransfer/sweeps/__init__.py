"""Which learning rates a sweep tries, and which of its trials end before their last step.

settings     the sections `search` and `asha` of an experiment's phases
suggestion   learning rates that Optuna's TPE suggests while a sweep runs
rungs        where a trial may be stopped, and what was ruled there, in the store
scheduler    the ruling itself: Ray Tune's ASHA, asked anew for each sweep
waiting      a trial at a rung
"""
