"""Whole exporters on a virtual clock, with everything that goes wrong drawn from one number.

A *seed* makes a scenario: a small world, one to three exporters with overlapping studios, what the API and the sink do
to them, and when each of their processes dies or is stopped. The exporters are the real ones, from `jobs.export` down
to the HTTP client; only sockets, threads and time are not. A judge looks at every change of the sink and at every
request, and stops the run at the first that breaks a promise.

`make simulate SEEDS=10000` runs many, `make replay SEED=7` runs one and says what happened.
"""
