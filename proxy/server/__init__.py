"""What serves, with aiohttp: one socket to the client, one to the upstream, a rewriter between.

The proxy

    app         its start and its stop
    generation  one reading of the configuration at work, until its last request has ended
    listening   sockets that listen
    tls         certificates, in front and towards upstreams
    alarms      limits of time
    stopping    how requests are cut off that still run at the end
    short_queue what connections keep in the place of a deque

Its rooms, each with a map of its own

    processes   what was started: one process, or a parent and its workers
    clients     a request comes in
    answers     its answer goes out
    upstreams   the upstream is asked, and its answer comes in
    operator    what the operator sees: log, metrics, traces, health
"""
