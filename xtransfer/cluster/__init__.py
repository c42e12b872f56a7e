"""Kubernetes: manifests, the rules they keep, and a client that submits and follows RayJobs.

render     an overlay or a folder of YAML -> manifests; `quantities`: of memory and processors, as numbers
policy     manifests -> findings; what the operator, Pod Security and Kueue refuse, and no schema shows
jobs       a rendered overlay and an experiment -> the objects of one job
placements the placement of a job, from the manifests
preflight  what can be asked before a job is submitted
connection to which API server, in which namespace and as whom; it and `api` alone import `kubernetes`
api        the few requests that a job needs; `kinds`: where each kind of object is, `api_errors`: failures in words
states     what a RayJob's status says, in words
adoption   what a job that is there has otherwise than the one to be sent
submission a job that is made, adopted or replaced
client     follow, cancel, set up
"""
