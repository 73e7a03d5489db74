"""The yard: what the verbs work with, made once when the server starts and handed on."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from squero.domain.admission import Admission
from squero.domain.catalog import Catalog
from squero.domain.intake import Intake
from squero.domain.news import News
from squero.domain.outlook import Outlook
from squero.domain.policy import Policy
from squero.domain.polled import Polls
from squero.domain.pricing import Prices
from squero.media.fetch import Fetcher
from squero.media.folder import Folder
from squero.media.keyring import Keyring
from squero.media.spool import Spool
from squero.media.turns import Turns
from squero.sandbox import Sandbox
from squero.settings import Settings
from squero.store.db import Database


def _turns() -> Mapping[str, Turns]:
    pictures = Turns(6, 3)
    return {
        "image_url": pictures,
        "end_image_url": pictures,
        "audio_url": Turns(2, 1),
        "video_url": Turns(2, 1),
    }


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
    intake: Intake
    admission: Admission
    prices: Prices
    fetcher: Fetcher
    policies: tuple[Policy, ...]
    turns: Mapping[str, Turns] = field(default_factory=_turns)
    """At a look into the media of a field; an account gets half, lest one stop all the others."""
