"""What straightwire costs, next to nginx that passes the same bytes through unread.

It is a command, and measures whole processes over real sockets:

    python -m bench             every load, with the table of targets
    python -m bench --help      one load alone, a short form

Its parts:

    native      the emitter and the load client, in C: built, started, read
    loads       what is asked of a target: how many streams, how many frames, how fast
    targets     what is measured: nothing in between, nginx, straightwire, each a process of its own
    processes   CPU clocks and memory of a process and its children
    rounds      the measuring itself: rounds, shuffled, one sample for each target and load
    figures     samples to figures: CPU per frame, ratios within a round, their medians
    goals       what was promised, and what came out
    machine     the conditions, and how busy the machine was with other things
    report      what is shown and kept: tables, JSON
    peers       other gateways, on a stream that they can read
    session     one call: all of it brought together
    chart       the goals as a picture
    documents   what README.md and docs/performance.md quote

`inprocess` stands apart: a command of its own, for the parts without a socket.
"""
