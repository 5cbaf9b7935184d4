"""How fast the farm renders, next to others: the same pages, browser, number of workers, blocking and work.

`python -m bench` compares (see `__main__`), `python -m bench.profile` says where the farm's CPU goes.

    content       the pages, and what a perfect crawler would bring back from them
    server        serves them on loopback, fast enough never to be what is measured
    environments  the peers' environments, made once under `.bench/`
    subjects      who is measured, and how each is started
    watch         starts a subject and samples its whole process tree
    trial         one run: serve, start, watch, check, and the figures of it
    report        tables; `chart` draws them

What always holds: every figure is of one subject alone on the machine, and a run whose pages came back
incomplete says so in its recall instead of looking fast.
"""
