"""`cdc schema`."""

import typer

from cdc.cli.terminal import console, print_json


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("schema", short_help="Print the JSON Schema of the file, for editors.")(schema)


def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    from cdc.config.json_schema import config_schema, missing

    print_json(config_schema())
    for line in missing():
        console(stderr=True).print(f"left open: {line}", markup=False)
