"""The yard: what the verbs work with, made once when the server starts and handed on."""

from dataclasses import dataclass, field

from anyio import CapacityLimiter

from squero.domain.admission import Admission
from squero.domain.catalog import Catalog
from squero.domain.news import News
from squero.domain.outlook import Outlook
from squero.domain.policy import Policy
from squero.domain.polled import Polls
from squero.media.fetch import Fetcher
from squero.media.folder import Folder
from squero.media.keyring import Keyring
from squero.media.spool import Spool
from squero.sandbox import Sandbox
from squero.settings import Settings
from squero.store.db import Database

_FOOTAGE_AT_ONCE = 1


@dataclass(frozen=True, slots=True)
class Yard:
    """The database, the sealed media and the rules of one server."""

    settings: Settings
    database: Database
    catalog: Catalog
    folder: Folder
    keyring: Keyring
    spool: Spool
    sandbox: Sandbox
    """Where sounds and videos are decoded."""
    pictures: Sandbox
    """One of its own: what a child costs is what its parent has loaded."""
    outlook: Outlook
    polls: Polls
    news: News
    admission: Admission
    fetcher: Fetcher
    policies: tuple[Policy, ...]
    footage: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_FOOTAGE_AT_ONCE))
    """A look at a video takes seconds, and pictures do not wait behind it."""
