"""The yard: what the verbs work with, made once when the server starts and handed on."""

from dataclasses import dataclass

from squero.domain.catalog import Catalog
from squero.domain.outlook import Outlook
from squero.media.folder import Folder
from squero.media.keyring import Keyring
from squero.sandbox import Sandbox
from squero.settings import Settings
from squero.store.db import Database


@dataclass(frozen=True, slots=True)
class Yard:
    """The database, the sealed media and the rules of one server."""

    settings: Settings
    database: Database
    catalog: Catalog
    folder: Folder
    keyring: Keyring
    sandbox: Sandbox
    outlook: Outlook
