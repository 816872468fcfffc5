"""What the operator sees.

record      what is known of a request when it ends
access_log  the log
log_forms   its lines, as JSON and as text
outlet      where they go
metrics     Prometheus's numbers
counts      how they are counted
tracing     OpenTelemetry's spans
oversight   the operator's side as a whole
admin       its listener
health      which upstreams live
"""
