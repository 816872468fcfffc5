"""`straightwire repairs`: the catalogue, whole or one entry."""

import difflib

import click

from proxy.wire.document import markdown, plain, state, table
from proxy.wire.repairs import CATALOGUE, ORDER


@click.command()
@click.argument("name", required=False)
@click.option(
    "--markdown", "as_markdown", is_flag=True, help="The whole catalogue, as docs/repairs.md has it."
)
@click.option("--table", "as_table", is_flag=True, help="The names alone, as README.md has them.")
def command(name: str | None, as_markdown: bool, as_table: bool) -> None:
    """List the repairs, or tell all about the one called NAME."""
    if as_markdown:
        click.echo(markdown(ORDER), nl=False)
    elif as_table:
        click.echo(table(ORDER), nl=False)
    elif name is None:
        width = max(map(len, CATALOGUE))
        for repair in ORDER:
            click.echo(f"{repair.name:{width}}  {state(repair):6}  {repair.summary}")
    elif name in CATALOGUE:
        click.echo(plain(CATALOGUE[name]))
    else:
        near = difflib.get_close_matches(name, CATALOGUE, n=1)
        hint = f" Did you mean {near[0]}?" if near else " `straightwire repairs` lists them."
        raise click.UsageError(f"There is no repair called {name}.{hint}")
