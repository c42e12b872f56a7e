"""The steps that load a model, from their parents' records to what their own will say.

encoder        the base encoder of a step's lineage, and that it is the planned one
prepared       the prepare step: examples tokenised once, memory-mapped by every trial
training       the train step, in this process or (`distributed`) on several workers
device         what a step was given to compute on, and its share of it
worker         one worker of a trial; `ray_worker`: as Ray Train runs it
handover, worker_errors    what a group of workers leaves for the trial's own process, and what it failed of
assembly       what a trial is put together from
checkpoints    what a train step resumes from
memory         a trial that ran out of memory, tried once more
outcome        what a trial leaves for its record
averaging      the average step
evaluation     the evaluate step
scoring        predictions and scores by language
bitext, ranking    sentence retrieval and mining with an encoder as it is; ranking with a trained one
alignment      how near translations are to each other, layer by layer
estimation     the estimate step

They know records, the store and Ray; the training loop in `xtransfer.train` knows none of them.
"""
