"""Logs: where change records are kept durably, in order, between sources and sinks."""
