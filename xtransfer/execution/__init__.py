"""One step of the plan on one machine, whatever its kind.

trial       as Ray Tune runs it, in a process that Tune keeps warm
execute     from its parents' records to its own
work        what each kind of step does; those that load a model are in `xtransfer.steps`
workbench   what a step needs of its surroundings
libraries   torch and transformers, loaded without collecting garbage meanwhile
leaving     when it must save its state and go
watchdog    a step that has told nothing for too long is ended
allocation  how the C library hands out memory to it

`work` calls `xtransfer.steps`; these take from here only what surrounds a step: workbench, libraries,
leaving and watchdog.
"""
