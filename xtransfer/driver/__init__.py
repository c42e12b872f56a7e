"""A plan worked off on a Ray cluster by one driver, or by several at once.

runner        a whole plan: what has no record is done, and how it went is told
ray_session   the Ray of a run, private or joined; `termination`: what SIGTERM does to it
tuner         one Tuner for the whole plan
search        the plan as Tune's search algorithm: the next sample is the next step that is ready
frontier      which steps are done, ready or out of reach, at a cost that does not grow with the plan
lanes, room   how many steps wait at once, and what a cluster has room for
cautions      what a placement asks for in vain
tries, outages, repairs, waits    steps that die without getting on, stores that are away, damage that is
              done again, work that others do
board         what a run is shown on; `relays` hand on to it what Tune tells
progress, gauges, feed    such boards: the terminal, Prometheus, MLflow and TensorBoard
"""
