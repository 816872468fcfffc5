"""What serves, with aiohttp: one socket to the client, one to the upstream, a rewriter between.

The process

    trial               what only shows when a configuration is put to use
    process             the one that was started: its signals, its exit status, and what runs in it
    loop                the event loop that serves clients
    garbage             Python's search for cyclic garbage, held back
    notify              what the service manager is told
    supervisor          the parent of several workers
    children            their processes, as it sees them
    worker              what runs in each of them
    channel             what the two tell each other
    places              the requests that are being served, counted over all of them
    totals              their metrics, summed

The proxy

    app                 its start and its stop
    listening           sockets that listen
    client_connections  connections of clients, and what on them is no HTTP at all
    one_task            their fast road
    alarms              limits of time
    short_queue         what connections keep in the place of a deque
    tls                 certificates, in front and towards upstreams
    generation          one reading of the configuration at work, until its last request has ended
    stopping            how requests are cut off that still run at the end

A request comes in

    exchange            the request, and what becomes of it
    answering           what happens to every one of them, in order
    running             those that have not been answered
    endpoints           what is understood, and under which paths
    admission           what follows from its head, which a connection remembers
    doors               what it passes before it is served
    auth                the clients' keys
    cors                web pages that may call
    paths               where it goes at its upstream, and whether it may
    forwarding          whom it comes from, as the upstream is told
    headers             header fields that travel through a proxy
    body                its body, as it comes
    service             which upstream answers, and what becomes of its answer
    destination         an upstream, with all that the configuration says of it
    names               the model of a request that is not ours to understand
    models              the list of models

Its answer goes out

    relay               a stream, rewritten event by event
    stream              that stream as the client gets it
    silence             what it does while the upstream says nothing
    pace                when its events came
    whole               an answer in one piece, rewritten
    progress            whether it gets on
    passthrough         what is not ours to rewrite
    websocket           a WebSocket
    failures            errors

The upstream

    upstream            asks it, and turns all that goes wrong into errors of ours
    sending             a request on its way: on which road, and whether once more
    upstream_connection a connection
    connector           those that are kept, and how new ones are made
    resolver            the addresses of its name
    keepalive           sockets that notice that it is gone
    answer              its answer, read as it comes
    buffered_answer     the same, as aiohttp keeps it: the plain road
    answer_heads        heads of answers, and those that cannot be used
    no_answer           why there is no answer
    locations           where it sends clients
    direct              the fast road from it, for event streams
    direct_connection   its connections
    direct_body         their bytes on that road
    direct_request      the fast road to it

What the operator sees

    record              what is known of a request when it ends
    access_log          the log
    log_forms           its lines, as JSON and as text
    metrics             Prometheus's numbers
    counts              how they are counted
    tracing             OpenTelemetry's spans
    oversight           the operator's side as a whole
    admin               its listener
    health              which upstreams live
"""
