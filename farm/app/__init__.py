"""The composition root: the only package that connects a port with its adapter.

preflight   the plan of a run, checked before anything is created
access      a crawl from its settings: its folder, its Redis, and whether it exists
limits      the user's limits, as parameters of the frontier, of the learner of paces, and of admission
session     the output folder and its lock, Redis and the crawl in it, for the duration of a run
assembly    the node: gateway, pool, workers, sink; `traffic`, `rendering`, `records` are parts of it
running     a run from its plan to its end, with its observer
run_summary the results of a run
doctor      whether this machine can run the farm
"""
