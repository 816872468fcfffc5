"""What the proxy measures, as Prometheus gets it: every sample's name, and its labels."""

from prometheus_client.parser import text_string_to_metric_families

from proxy.server.answers.pace import Pace
from proxy.server.operator.metrics import Metrics, page
from proxy.server.operator.record import Record


def samples() -> dict[str, set[str]]:
    """Return the labels of every sample, once a stream with a repair has ended."""
    metrics = Metrics(lambda _: 0)
    metrics.follow(["local"])
    record = Record("r", "POST", "/", 0.0, upstream="local", stream=True, pace=Pace())
    record.pace.note(1.0)
    record.count("local", {"repeated-role": 1})
    metrics(record)
    metrics.mark("local", up=True)
    families = text_string_to_metric_families(page(metrics, "")[0].decode())
    return {
        sample.name: set(sample.labels)
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
