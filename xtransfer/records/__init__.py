"""What steps leave in a store, from the first lease to the last removal.

layout       the folders of a store, and what the objects in them are called
record       what a finished step leaves, written last with its `seal`; `results`: what readers rely on in it
lookup       the record of one step, by its key or its former name
outputs      its files: uploaded, fetched, verified; `predictions`: read back beside gold labels
checkpoints  resume state of a trial that still runs
leases       who is at work on a step: one holder at a time; `probe`: whether a store lets there be one
journal      plans and attempts; `failures`, `logs`: what went wrong, and what was said
notes        small JSON objects that vouch for themselves
keeping      which fetched files a node keeps; `fetched`: whether they are still what a step fetched
quarantine, audit, leftovers    damaged steps set aside, a whole store examined, and cleared
"""
