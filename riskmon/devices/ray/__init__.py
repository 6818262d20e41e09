"""Estimates on many devices: a Ray actor for each, with a session of its own, on whatever machine it was put.

    daemon          devices.py   the questions of `Devices`: who gets what, in which order, what goes again
                    crew.py      the actors: which are up, which are busy, which begin anew
    hub process     hub.py       holds the connection to Ray, and passes on what it gets
                    cluster.py   joining the cluster, or starting one
    actor process   actor.py     the session

The connection is a process of its own, as the local worker is: Ray ends its driver when a cluster goes away, takes
over its signal handlers, and writes on its standard error. Questions and replies pass through Ray as bytes that only
the two ends read.
"""
