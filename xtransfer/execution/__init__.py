"""One step of the plan on one machine, whatever its kind, in a process of `xtransfer.process`.

trial       as Ray Tune runs it, in a process that Tune keeps warm
execute     from its parents' records to its own
work        what each kind of step does; those that load a model are in `xtransfer.steps`
"""
