"""What the user writes: an experiment, which is all that is computed, and a placement, which is where.

experiment    the experiment, from YAML; `checks` is what must fit together across its sections
encoder, data, phases, training, retrieval    its sections
arms          what is trained between the encoder and the targets, and after them
adapters, averaging, analyses, pretraining    what else may be asked for
judgement, claims    how results are judged; no part of any step's key
anatomy       settings held against the encoder's own files
placement     workers, devices, retries, intervals: recorded, never hashed
"""
