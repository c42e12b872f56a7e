"""What is left of a plan, in hours and money, before anything is spent.

lineage     which encoder, tasks and devices a step or a record is about
amounts     how many examples each step goes through
measured    speeds of this project's own records
tables      the user's files: speeds and prices
principles  a speed from parameters, tokens and a device's data sheet
durations   the most trusted of these three for each step that is left
schedule    critical path, and makespan on so many GPUs
estimate    all of it together, and as JSON; `words` prints it
"""
