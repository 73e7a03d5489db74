"""Every setting: `SQUERO_*` in the environment, then the home's `squero.toml`, then a default."""

import importlib.util
import os
from functools import cached_property
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    DirectoryPath,
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)


class HomeUnknown(Exception):
    """Neither the environment nor the system knows where this user's data is kept."""


def default_home() -> Path:
    """`/var/lib/squero` for root; below the user's own data folder for anybody else.

    Raises HomeUnknown.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/squero")
    try:
        data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    except RuntimeError:
        raise HomeUnknown("This user has no home folder: choose --home or SQUERO_HOME") from None
    return Path(data) / "squero"


def _names(value: object) -> object:
    """The names in a text such as "a.test, b.test"; what is a list already stays one."""
    if not isinstance(value, str):
        return value
    return [name.strip().lower() for name in value.split(",") if name.strip()]


PerMinute = Annotated[int, Field(ge=1)]


class Tier(BaseModel):
    """What an account may call in a minute, by class of endpoint; of text the tokens too."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    video_queue: PerMinute = 20
    video_retrieve: PerMinute = 120
    image: PerMinute = 20
    audio: PerMinute = 60
    embedding: PerMinute = 500
    text_xs: PerMinute = 500
    text_s: PerMinute = 75
    text_m: PerMinute = 50
    text_l: PerMinute = 20
    text_xs_tokens: PerMinute = 1_000_000
    text_s_tokens: PerMinute = 750_000
    text_m_tokens: PerMinute = 750_000
    text_l_tokens: PerMinute = 500_000


class PartnerTier(Tier):
    """The same with a partner's defaults."""

    image: PerMinute = 60
    audio: PerMinute = 120
    text_s: PerMinute = 150
    text_m: PerMinute = 100
    text_l: PerMinute = 60
    text_xs_tokens: PerMinute = 2_000_000
    text_s_tokens: PerMinute = 1_500_000
    text_m_tokens: PerMinute = 1_500_000
    text_l_tokens: PerMinute = 1_000_000


class Tiers(BaseModel):
    """The tiers that an account can be in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    paid: Tier = Tier()
    partner: PartnerTier = PartnerTier()


_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"


def _redis(url: SecretStr) -> SecretStr:
    wrong = PydanticCustomError(
        "no_redis_url", "It is redis:// or rediss://, a host, and perhaps a port"
    )
    try:
        parts = urlsplit(url.get_secret_value())
        if parts.scheme not in ("redis", "rediss") or not parts.hostname or parts.port == 0:
            raise wrong
    except ValueError:  # whose words hold the password
        raise wrong from None
    if importlib.util.find_spec("redis") is None:
        raise PydanticCustomError("no_redis", "It needs the package redis: squero[redis] has it")
    return url


LimitsUrl = Annotated[SecretStr, AfterValidator(_redis)]
HostName = Annotated[str, Field(max_length=253, pattern=rf"^{_LABEL}(\.{_LABEL})*$")]


class Settings(BaseSettings):
    """The settings of a server or a command; `docs/settings.md` lists them all."""

    model_config = SettingsConfigDict(
        env_prefix="SQUERO_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    home: Path = Field(default_factory=default_home)
    """Everything Squero keeps: the embedded database, sealed media, the secret."""
    database_url: SecretStr | None = None
    """A PostgreSQL 15 or later to use in place of the embedded one."""
    secret_file: Path | None = None
    """32 bytes that wrap day keys and key hashes; replicas share it. Default: in the home."""
    key_prefix: str = Field(default="SQUERO_", pattern="^[A-Za-z0-9_-]{0,40}$")
    """What new API keys begin with; `INFERENCE_KEY_` or `ADMIN_KEY_` follows."""

    tiers: Tiers = Tiers()
    """What an account of each tier may call in a minute, by class of endpoint."""
    limits_url: LimitsUrl | None = None
    """A Redis or Valkey in which replicas count together; without it each process counts."""
    failed_requests: int = Field(default=20, ge=1)
    """So many failed requests are allowed in `failed_seconds`; one more blocks for as long."""
    failed_seconds: int = Field(default=30, ge=1)
    """How long a failed request counts, and how long a block lasts."""
    failed_counts_all: bool = False
    """Whether every non-success answer counts: also our own 5xx, and those of failed jobs."""
    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_names)] = ()
    """Networks of the proxies whose X-Forwarded-For is believed."""
    body_limit_bytes: int = Field(default=35_000_000, ge=1_000)
    """The largest request body; more is 413."""
    body_bytes_in_flight: int = Field(default=560_000_000, ge=1_000)
    """How many bytes of bodies and of what their URLs name come in at once; beyond it is 503.

    16 of the largest: decoded they are 420 MB, less than `min_free_bytes` leaves on the disk.
    """
    result_limit_bytes: int = Field(default=500_000_000, ge=1_000_000)
    """The largest video that a worker may upload."""
    allowed_hosts: Annotated[frozenset[HostName], NoDecode, BeforeValidator(_names)] = frozenset()
    """Hosts that a customer's URL may name although they are at internal addresses."""
    refused_terms_file: Path | None = None
    """A term a line; a prompt with one of them in it is 422."""

    instant_motion: bool = False
    """Whether every model of the motion engine gives a slate at once, in place of its video."""
    fonts: DirectoryPath | None = None
    """A folder of fonts for what the built-in one cannot draw; a worker reads it on its machine."""

    queued_per_account: int = Field(default=1000, ge=1)
    """How many jobs of an account may wait in a lane; one more is 429."""
    lane_queue_limit: int | None = Field(default=None, ge=1)
    """How many jobs may wait in a lane; one more is 503."""
    min_free_bytes: int = Field(default=500_000_000, ge=0)
    """While the home's disk has less free than this, a new job is 503."""

    lease_seconds: int = Field(default=6, ge=2)
    """How long a worker that falls silent keeps its job."""
    deadline_seconds: int = Field(default=3600, ge=1)
    """How long one attempt may render before its child is killed."""
    retention_hours: int = Field(default=24, ge=1)
    """How long a finished video is kept."""
    queue_hours: int = Field(default=24, ge=1)
    """How long a job may wait before it is given up and released."""

    @field_validator("body_bytes_in_flight")
    @classmethod
    def _check_room(cls, value: int, others: ValidationInfo) -> int:
        limit = others.data.get("body_limit_bytes", 0)
        if value < limit:
            message = "Must be at least body_limit_bytes, which is {limit}"
            raise PydanticCustomError("less_than_a_body", message, {"limit": limit})
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, and the environment over `squero.toml`."""
        named = init_settings().get("home") or env_settings().get("home") or default_home()
        toml = TomlConfigSettingsSource(settings_cls, Path(named) / "squero.toml")
        return init_settings, env_settings, toml

    @property
    def motion_options(self) -> dict[str, object]:
        """What the motion engine is made with, where a model's entry says nothing else."""
        instant = {"instant": True} if self.instant_motion else {}
        return instant | ({"fonts": str(self.fonts.absolute())} if self.fonts else {})

    @cached_property
    def secret_path(self) -> Path:
        """Where the server's secret lies."""
        return self.secret_file or self.home / "secret"
