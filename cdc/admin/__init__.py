"""The daemon's HTTP side: health, metrics, REST status and the status page."""
