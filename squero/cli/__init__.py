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
accounts_app = typer.Typer(help="Who pays, how, and with what share.", no_args_is_help=True)
keys_app = typer.Typer(help="API keys.", no_args_is_help=True)
workers_app = typer.Typer(help="Tokens for workers on other machines.", no_args_is_help=True)
ledger_app = typer.Typer(help="The books.", no_args_is_help=True)
app.add_typer(accounts_app, name="accounts")
app.add_typer(keys_app, name="keys")
app.add_typer(workers_app, name="workers")
app.add_typer(ledger_app, name="ledger")

Home = Annotated[
    Path | None,
    typer.Option(help="Where Squero keeps everything (SQUERO_HOME).", show_default=False),
]
Account = Annotated[str, typer.Argument(help="The account's name.")]
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
def engines(
    load: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Load this model's, say what it took, and end it."),
    ] = None,
    home: Home = None,
) -> None:
    """Show what is installed, and which models this machine can load."""
    from squero.cli.engines import run

    run(home, load)


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
    account: Account,
    usd: Annotated[str, typer.Argument(metavar="USD", help="Such as 25 or 0.5.")],
    bundled: Annotated[
        bool, typer.Option("--bundled", help="As bundled credits, which are spent before USD.")
    ] = False,
    home: Home = None,
) -> None:
    """Add to the balance of an account that is not unmetered."""
    from squero.cli import accounts

    accounts.add_credit(home, account, usd, bundled=bundled)


@accounts_app.command("list")
def accounts_list(home: Home = None) -> None:
    """Show every account: terms, what it may spend, what is held."""
    from squero.cli import accounts

    accounts.list_all(home)


@accounts_app.command("create")
def accounts_create(
    name: Account,
    prepaid: Annotated[
        str | None, typer.Option(metavar="USD", help="Pays ahead; its first credit, maybe 0.")
    ] = None,
    postpaid: Annotated[
        str | None, typer.Option(metavar="USD", help="Pays later; its credit line.")
    ] = None,
    unmetered: Annotated[
        bool, typer.Option("--unmetered", help="Pays nothing; so does one without a choice.")
    ] = False,
    home: Home = None,
) -> None:
    """Open an account. Its keys: `squero keys create --account`."""
    from squero.cli import accounts

    accounts.create(home, name, prepaid, postpaid, unmetered=unmetered)


@accounts_app.command("tier")
def accounts_tier(
    name: Account,
    tier: Annotated[str, typer.Argument(help="paid or partner.")],
    home: Home = None,
) -> None:
    """Choose the rate limits that an account has."""
    from squero.cli import accounts

    accounts.set_tier(home, name, tier)


@accounts_app.command("weight")
def accounts_weight(
    name: Account,
    weight: Annotated[
        int, typer.Argument(min=1, max=1000, help="Twice that of another: twice its share.")
    ],
    home: Home = None,
) -> None:
    """Set an account's share of the workers; 1 is usual."""
    from squero.cli import accounts

    accounts.set_weight(home, name, weight)


@accounts_app.command("cap")
def accounts_cap(
    name: Account,
    cap: Annotated[str, typer.Argument(help="A number from 1 on, or none.")],
    home: Home = None,
) -> None:
    """Set how many of an account's jobs may render at once in a lane."""
    from squero.cli import accounts

    accounts.set_cap(home, name, cap)


@accounts_app.command("line")
def accounts_line(
    name: Account,
    usd: Annotated[
        str,
        typer.Argument(
            metavar="USD", help="All of it, not what is added; no less than is spent of it."
        ),
    ],
    home: Home = None,
) -> None:
    """Set the credit line of a postpaid account."""
    from squero.cli import accounts

    accounts.set_line(home, name, usd)


@accounts_app.command("diem")
def accounts_diem(
    name: Account,
    amount: Annotated[str, typer.Argument(help="DIEM; 0 ends it.")],
    home: Home = None,
) -> None:
    """Set the DIEM that each UTC day begins with; none rolls over."""
    from squero.cli import accounts

    accounts.set_diem(home, name, amount)


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
    from squero.cli import keys

    keys.create(home, account, kind, description, credit)


@keys_app.command("list")
def keys_list(home: Home = None) -> None:
    """Show every key but its text, and whether it is in force."""
    from squero.cli import keys

    keys.list_all(home)


@keys_app.command("revoke")
def keys_revoke(
    key_id: Annotated[str, typer.Argument(help="From `squero keys list`.")],
    home: Home = None,
) -> None:
    """Refuse a key from now on, on every server within a second."""
    from squero.cli import keys

    keys.revoke(home, key_id)


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
    """Recompute every balance and count from its transfers, and name what does not add up."""
    from squero.cli import admin

    admin.check_ledger(home)


def main() -> None:
    """Run the command line."""
    app()
