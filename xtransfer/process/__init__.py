"""The process that a step runs in.

workbench   what a step needs of its surroundings
libraries   torch and transformers, loaded without collecting garbage meanwhile
leaving     when it must save its state and go
watchdog    a step that has told nothing for too long is ended
allocation  how the C library hands out memory to it

It knows no kind of step: `xtransfer.steps` and `xtransfer.execution` take it as it is.
"""
