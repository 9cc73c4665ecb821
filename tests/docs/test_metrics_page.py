from pathlib import Path

from cdc import metrics

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
SUFFIXES = {"counter": "_total", "info": "_info", "gauge": ""}


def test_page_lists_exactly_the_metrics_that_exist() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `tidewire")]

    assert [
        f"| `{metric.name}{SUFFIXES[metric.kind]}` | {metric.kind} | "
        f"{', '.join(f'`{label}`' for label in metric.labels)} | {metric.help} |"
        for metric in metrics.ALL
    ] == rows
