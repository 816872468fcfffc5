"""What was started: one process that serves, or a parent whose workers do.

    trial       what only shows when a configuration is put to use
    process     the one that was started: its signals, its exit status, and what runs in it
    loop        the event loop that serves clients
    garbage     Python's search for cyclic garbage, held back
    notify      what the service manager is told

Several workers

    supervisor  their parent
    children    their processes, as it sees them
    worker      what runs in each of them
    channel     what the two tell each other
    places      the requests that are being served, counted over all of them
    totals      their metrics, summed
"""
