"""The composition root: the only place that sees both a port and the adapter that fits it.

preflight   what a run will be, checked before anything is touched
access      a crawl from its settings: its folder, its Redis, what is there already
limits      what the user allows, as the frontier, the learner of paces and admission take it
session     the output folder and its lock, Redis and the crawl in it, for as long as a run lasts
assembly    the node, joined: gateway, pool, workers, sink; `traffic`, `rendering`, `records` are parts of it
running     a run from its plan to its end, for whoever follows it
run_summary what a run came to, of the parts that know it
doctor      whether this machine is fit for all that
"""
