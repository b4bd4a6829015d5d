"""Traffic: inference requests to one model, from a process of its own, measured from the outside.

`control.TrafficProcess` is the handle that a session holds, `command.run` is the verb
`tritop traffic`, and `worker` is the child process that both of them start. The generator is kept
out of the caller's process because sending a few thousand requests a second takes a whole core,
which would make a screen stutter and a sampler late.
"""
