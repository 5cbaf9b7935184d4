"""The composition root: the only place that sees both a port and the adapter that fits it.

preflight   what a run will be, checked before anything is touched
place       the output folder, its lock, Redis and the crawl in it
assembly    the node: gateway, pool, workers, sink, joined
"""
