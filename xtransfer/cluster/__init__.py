"""Kubernetes: manifests, the rules they keep, and a client that submits and follows RayJobs.

render     an overlay or a folder of YAML -> manifests
policy     manifests -> findings; what the operator, Pod Security and Kueue refuse, and no schema shows
jobs       a rendered overlay and an experiment -> the objects of one job
api        the few requests that a job needs, and their failures in words (the one `kubernetes` import)
states     what a RayJob's status says, in words
adoption   what a job that is there has otherwise than the one to be sent
submission a job that is made, adopted or replaced
client     follow, cancel, set up
"""
