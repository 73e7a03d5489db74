"""What a key may do and how often, and which calls came too often."""

from datetime import UTC, datetime, time, timedelta

from starlette.requests import Request
from starlette.responses import Response

from squero.api.answers import answer
from squero.api.house import House
from squero.domain import keys, usage
from squero.domain.keys import Caller
from squero.domain.model import Model
from squero.domain.purse import Purse, purse
from squero.domain.refusals import Refusal
from squero.money import usd_number
from squero.wire.billing import timestamp
from squero.wire.rate_limits import (
    ApiTier,
    ModelRateLimits,
    RateLimit,
    RateLimitEntry,
    RateLimitLogAnswer,
    RateLimits,
    RateLimitsAnswer,
    SpendableBalances,
)


async def read(house: House, request: Request, caller: Caller) -> Response:
    """GET /api_keys/rate_limits: of the key that asks, with the models that it may use."""
    database = house.yard.database
    balance = await usage.balance(database, caller.account_id)
    async with database.reading() as tx:
        key = await keys.find(tx, caller.account_id, caller.key_id)
    spendable = purse(balance, key)
    tomorrow = datetime.combine(caller.today + timedelta(days=1), time.min, UTC)
    data = RateLimits(
        access_permitted=spendable.opens,
        api_tier=ApiTier(id=caller.tier, is_charged=caller.billing != "unmetered"),
        balances=_balances(spendable),
        key_expiration=None if key.expires_at is None else timestamp(key.expires_at),
        next_epoch_begins=timestamp(tomorrow),
        rate_limits=[
            _limits(house, caller, model)
            for model in house.yard.catalog.models.values()
            if caller.models is None or model.id in caller.models
        ],
    )
    return answer(RateLimitsAnswer(data=data))


async def read_log(house: House, request: Request, caller: Caller) -> Response:
    """GET /api_keys/rate_limits/log: the last calls of the account that came too often."""
    last = await house.refusals.last(caller.account_id)
    return answer(RateLimitLogAnswer(data=[_entry(refusal) for refusal in last]))


def _balances(spendable: Purse) -> SpendableBalances:
    return SpendableBalances(
        USD=usd_number(spendable.usd_micros),
        DIEM=usd_number(spendable.diem_micros),
        BUNDLED_CREDITS=usd_number(spendable.bundled_micros),
    )


def _limits(house: House, caller: Caller, model: Model) -> ModelRateLimits:
    amount = house.limits.of_model(caller.tier, model)
    return ModelRateLimits(api_model_id=model.id, rate_limits=[RateLimit(amount=amount)])


def _entry(refusal: Refusal) -> RateLimitEntry:
    return RateLimitEntry(
        api_key_id=str(refusal.key_id),
        model_id=refusal.model,
        rate_limit_tier=refusal.tier,
        rate_limit_type=refusal.type,
        timestamp=timestamp(refusal.created_at),
    )
