"""A plan worked off on a Ray cluster by one driver, or by several at once.

runner        a whole plan: what has no record is done, and how it went is told
ray_session   the Ray of a run, private or joined; `termination`: what SIGTERM does to it
tuner         one Tuner for the whole plan
search        the plan as Tune's search algorithm: the next sample is the next step that is ready
frontier      which steps are done, ready or out of reach, at a cost that does not grow with the plan
lanes, room   how many steps wait at once, and what a cluster has room for
tries, outages, waits    steps that die without getting on, stores that are away, work that others do
relays, progress, gauges    what Tune tells, handed on: to the terminal and to Prometheus
"""
