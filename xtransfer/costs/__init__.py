"""What is left of a plan, in hours and money, before anything is spent.

lineage     which encoder, tasks and devices a step or a record is about
amounts     how many examples each step goes through
measured    speeds of this project's own records
tables      the user's files: speeds and prices
principles  a speed from parameters, tokens and a device's data sheet
durations   the most trusted of these three for each step that is left
remainder   the steps that are left, by phase, and as jobs
schedule    critical path, and makespan on so many GPUs
shortfalls  which trials score their dev set too seldom for an average of checkpoints, or for ASHA
packing     several trials on one GPU: as many as its memory holds, by the model in `memory`
estimate    all of it together; `document` has it as JSON, `words` in words
"""
