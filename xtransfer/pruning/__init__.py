"""Which intermediate tasks are worth training a target after, estimated before it is trained.

settings    the experiment's section
rule        from estimates to the pairs that are kept
pairs       those that recorded prune steps drop, and a plan without them
"""
