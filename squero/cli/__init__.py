"""The ways in: the command `squero`. Each command imports its module when it is called."""

from pathlib import Path
from typing import Annotated

import typer

from squero import __version__

app = typer.Typer(
    name="squero",
    help="Squero: a self-hosted server that speaks the Venice API, video first.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
keys_app = typer.Typer(help="API keys.", no_args_is_help=True)
workers_app = typer.Typer(help="Tokens for workers on other machines.", no_args_is_help=True)
ledger_app = typer.Typer(help="The books.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
app.add_typer(workers_app, name="workers")
app.add_typer(ledger_app, name="ledger")

Home = Annotated[
    Path | None,
    typer.Option(help="Where Squero keeps everything (SQUERO_HOME).", show_default=False),
]
Server = Annotated[
    str | None,
    typer.Option(help="The server's URL (SQUERO_SERVER).", show_default="http://127.0.0.1:8800"),
]


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = 8800,
    home: Home = None,
    workers: Annotated[int, typer.Option(min=0, max=256, help="How many of its own.")] = 1,
    dev: Annotated[
        bool, typer.Option("--dev", help="Let URLs name localhost; on loopback only.")
    ] = False,
) -> None:
    """Run the API and its workers."""
    from squero.cli.serve import run

    run(host, port, home, workers, dev=dev)


@app.command()
def video(
    prompt: Annotated[str | None, typer.Argument(help="What the video shows.")] = None,
    image: Annotated[
        str | None, typer.Option(help="A picture to start from: a file, or an http(s) URL.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="See `squero models`.")] = None,
    duration: Annotated[str | None, typer.Option(help="Such as 5s or 10s.")] = None,
    resolution: Annotated[str | None, typer.Option(help="Such as 720p.")] = None,
    aspect_ratio: Annotated[str | None, typer.Option(help="Such as 16:9.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file.")] = None,
    server: Server = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the server's copy.")] = False,
    resume: Annotated[
        str | None, typer.Option(metavar="QUEUE_ID", help="Fetch a job queued before.")
    ] = None,
) -> None:
    """Make a video and save it (SQUERO_API_KEY)."""
    from squero.cli.video import run

    run(
        prompt,
        image,
        model,
        duration,
        resolution,
        aspect_ratio,
        output,
        server,
        keep=keep,
        resume=resume,
    )


@app.command()
def worker(
    server: Annotated[str, typer.Option(help="The server's URL.")],
    token_file: Annotated[
        Path | None, typer.Option(help="Holds the token, in place of SQUERO_WORKER_TOKEN.")
    ] = None,
) -> None:
    """Render for a server, on any machine: needs its URL and a token, nothing else."""
    from squero.cli.worker import run

    run(server, token_file)


@app.command()
def models(home: Home = None) -> None:
    """Show the catalogue."""
    from squero.cli import admin

    admin.list_models(home)


@app.command()
def migrate(home: Home = None) -> None:
    """Bring the database's schema up to date."""
    from squero.cli import admin

    admin.migrate(home)


@app.command()
def doctor(home: Home = None) -> None:
    """Say what works here and what does not, with the mend."""
    from squero.cli.doctor import run

    run(home)


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


@app.command()
def credit(
    account: Annotated[str, typer.Argument(help="The account's name.")],
    usd: Annotated[str, typer.Argument(metavar="USD", help="Such as 25 or 0.5.")],
    home: Home = None,
) -> None:
    """Add to a prepaid account's balance."""
    from squero.cli import admin

    admin.add_credit(home, account, usd)


@keys_app.command("create")
def keys_create(
    account: Annotated[
        str | None, typer.Option(help="Whose key; without it, a new account's.")
    ] = None,
    kind: Annotated[str, typer.Option("--type", help="inference or admin.")] = "inference",
    description: Annotated[str, typer.Option(help="For people.")] = "",
    credit: Annotated[
        str | None, typer.Option(metavar="USD", help="Prepay; without it, unmetered.")
    ] = None,
    home: Home = None,
) -> None:
    """Make an API key and print it alone on standard output."""
    from squero.cli import admin

    admin.create_key(home, account, kind, description, credit)


@workers_app.command("create")
def workers_create(
    name: Annotated[str, typer.Argument(help="For people, such as the machine's name.")],
    lane: Annotated[str, typer.Option(help="The models it serves.")] = "default",
    home: Home = None,
) -> None:
    """Make a worker's token and print it alone on standard output."""
    from squero.cli import admin

    admin.create_worker(home, name, lane)


@workers_app.command("list")
def workers_list(home: Home = None) -> None:
    """Show every token, when it was last used, and what it renders."""
    from squero.cli import admin

    admin.list_workers(home)


@workers_app.command("revoke")
def workers_revoke(
    worker_id: Annotated[str, typer.Argument(help="From `squero workers list`.")],
    home: Home = None,
) -> None:
    """Refuse a token from its next call on."""
    from squero.cli import admin

    admin.revoke_worker(home, worker_id)


@ledger_app.command("check")
def ledger_check(home: Home = None) -> None:
    """Recompute every balance from its transfers, and name what does not add up."""
    from squero.cli import admin

    admin.check_ledger(home)


def main() -> None:
    """Run the command line."""
    app()
