"""One program per peer; each runs in its peer's own environment and imports nothing of this repository.

    PROGRAM JOB.json

The job names the `urls`, how many `workers` there are, the `browser`, a `selector` that matches once a page is
complete, the `blocked` URL patterns, and `out`: the file that gets a JSON line per page with `url`, `html`,
`links` and, where it is known, `ms`. Each is set up as its documentation says it is fastest.
"""
