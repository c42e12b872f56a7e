"""Which intermediate tasks are worth training a target after, estimated before it is trained."""
