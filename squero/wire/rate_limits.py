"""The bodies of the calls about rate limits."""

from typing import Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class _Answer(BaseModel):
    """camelCase on the wire."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True
    )


class ApiTier(_Answer):
    """Which limits the account has, and whether its calls cost anything."""

    id: str
    is_charged: bool


class SpendableBalances(BaseModel):
    """What the key may still spend; the names are in upper case here alone."""

    USD: int | float
    DIEM: int | float
    BUNDLED_CREDITS: int | float


class RateLimit(_Answer):
    """So many requests (RPM) a minute."""

    amount: int
    type: Literal["RPM"] = "RPM"


class ModelRateLimits(_Answer):
    """The limits of one model."""

    api_model_id: str
    rate_limits: list[RateLimit]


class RateLimits(_Answer):
    """What a key may do, and how often."""

    access_permitted: bool
    api_tier: ApiTier
    balances: SpendableBalances
    key_expiration: str | None
    next_epoch_begins: str
    rate_limits: list[ModelRateLimits]


class RateLimitsAnswer(_Answer):
    """GET /api_keys/rate_limits."""

    data: RateLimits


class RateLimitEntry(_Answer):
    """A call that was refused for its number."""

    api_key_id: str
    model_id: str
    rate_limit_tier: str
    rate_limit_type: str
    timestamp: str


class RateLimitLogAnswer(_Answer):
    """GET /api_keys/rate_limits/log."""

    object: Literal["list"] = "list"
    data: list[RateLimitEntry]
