"""How fast the farm renders, compared with others: same pages, browser, number of workers, blocking and work.

`python -m bench` compares (see `__main__`), `python -m bench.profile` breaks down the farm's CPU.

    content       the pages, and the expected result of a complete crawl
    server        serves them on loopback, fast enough never to be the bottleneck
    environments  the peers' environments, made once under `.bench/`
    subjects      the measured crawlers, and how each is started
    watch         starts a subject and samples its whole process tree
    trial         one run: serve, start, watch, check; returns its figures
    report        tables; `chart` draws them

Invariants: only one subject runs at a time, and a run with incomplete pages shows it in its recall instead of
looking fast.
"""
