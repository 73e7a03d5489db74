"""The key calls: an ADMIN key administers the keys of its own account."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from squero.api.answers import answer
from squero.api.body import read_request
from squero.api.gate import allow, place
from squero.api.house import House
from squero.domain import keys
from squero.domain.keys import MOST_IN_FORCE, Caller, Key, Terms
from squero.errors import InvalidRequest, Issue
from squero.wire.issues import parse
from squero.wire.keys import (
    CreateKeyRequest,
    DeletedKeyAnswer,
    DeleteKeyRequest,
    KeyAnswer,
    KeyLimits,
    KeyPeriod,
    KeysAnswer,
    KeyUsage,
    KeyWeek,
    NewKey,
    NewKeyAnswer,
    OneKeyAnswer,
    UpdatedKeyAnswer,
    UpdateKeyRequest,
)


async def list_keys(house: House, request: Request, caller: Caller) -> Response:
    """GET /api_keys: those in force, the newest first."""
    limit = _positive(request, "limit", MOST_IN_FORCE)
    offset = (_positive(request, "page", 1) - 1) * limit
    async with house.yard.database.reading() as tx:
        found = await keys.find_all(tx, caller.account_id, limit, offset)
    return answer(KeysAnswer(data=[_entry(key) for key in found]))


async def find(house: House, request: Request, caller: Caller) -> Response:
    """GET /api_keys/{id}."""
    async with house.yard.database.reading() as tx:
        key = await keys.find(tx, caller.account_id, _id(request.path_params["id"]))
    return answer(OneKeyAnswer(data=_entry(key)))


async def create(house: House, request: Request, caller: Caller) -> Response:
    """POST /api_keys: a key, whose text is told this once."""
    asked = await read_request(house, request, CreateKeyRequest, caller.account_id)
    _check_models(house, asked.models)
    terms = Terms(
        expires_at=asked.expires_at,
        usd_limit_micros=asked.consumption_limit.usd,
        diem_limit_micros=asked.consumption_limit.diem_micros,
        limit_period=asked.limit_period,
        model_privacy=asked.model_privacy,
        models=asked.models,
    )
    yard, kind, prefix = house.yard, asked.api_key_type, house.yard.settings.key_prefix
    async with yard.database.transaction() as tx:
        allowance = await keys.room(tx, caller.account_id)
        allow(house, request.scope, caller, place(request.scope), allowance)
        key_id, text = await keys.create(
            tx, yard.keyring, caller.account_id, kind, asked.description, terms, prefix=prefix
        )
    made = NewKey(
        api_key=text,
        id=str(key_id),
        api_key_type=kind,
        description=asked.description,
        consumption_limit=_limits(terms),
        **_terms(terms),
    )
    return answer(NewKeyAnswer(data=made))


async def update(house: House, request: Request, caller: Caller) -> Response:
    """PATCH /api_keys: what is sent changes, and holds from the next call on."""
    asked = await read_request(house, request, UpdateKeyRequest, caller.account_id)
    _check_models(house, asked.models)
    changes = {name: getattr(asked, name) for name in asked.model_fields_set - {"id"}}
    if limit := changes.pop("consumption_limit", None):
        changes |= {"usd_limit_micros": limit.usd, "diem_limit_micros": limit.diem_micros}
    key_id = _id(asked.id)
    async with house.yard.database.transaction() as tx:
        digest = await keys.change(tx, caller.account_id, key_id, changes)
        key = await keys.find(tx, caller.account_id, key_id)
    house.callers.forget(digest)
    return answer(UpdatedKeyAnswer(data=_entry(key, with_usage=False)))


async def delete(house: House, request: Request, caller: Caller) -> Response:
    """DELETE /api_keys: the key of ?id=, or of the body's id, is refused from the next call on."""
    key_id = _id((await _named(house, request, caller)).id)
    async with house.yard.database.transaction() as tx:
        digest = await keys.revoke(tx, caller.account_id, key_id)
    house.callers.forget(digest)
    return answer(DeletedKeyAnswer())


async def _named(house: House, request: Request, caller: Caller) -> DeleteKeyRequest:
    if "id" in request.query_params:
        return DeleteKeyRequest(id=request.query_params["id"])
    if "content-type" not in request.headers:
        return parse(DeleteKeyRequest, {})
    return await read_request(house, request, DeleteKeyRequest, caller.account_id)


def _id(text: str) -> UUID | None:
    """None is nobody's id."""
    try:
        return UUID(text)
    except ValueError:
        return None


def _positive(request: Request, name: str, default: int) -> int:
    """A number of the query; the contract has none, so what is not understood is ignored."""
    text = request.query_params.get(name, "")
    plain = text.isascii() and text.isdigit() and len(text) < 7
    return (int(text) if plain else 0) or default


def _check_models(house: House, models: Sequence[str] | None) -> None:
    issues = [
        Issue(("models", place), "Specified model not found")
        for place, one in enumerate(models or ())
        if one not in house.yard.catalog.models
    ]
    if issues:
        raise InvalidRequest(issues)


def _entry(key: Key, *, with_usage: bool = True) -> KeyAnswer:
    limited = key.usd_limit_micros is not None or key.diem_limit_micros is not None
    week = KeyWeek(usd=key.week_usd_micros, diem=key.week_diem_micros)
    period = KeyPeriod(usd=key.period_usd_micros, diem=key.period_diem_micros)
    return KeyAnswer(
        id=str(key.id),
        api_key_type=key.type,
        description=key.description,
        last6_chars=key.last6,
        created_at=key.created_at,
        last_used_at=key.last_used_at,
        consumption_limits=_limits(key),
        usage=KeyUsage(trailing_seven_days=week) if with_usage else None,
        current_period_usage=period if with_usage and limited else None,
        **_terms(key),
    )


def _limits(terms: Terms) -> KeyLimits:
    return KeyLimits(usd=terms.usd_limit_micros, diem=terms.diem_limit_micros)


def _terms(terms: Terms) -> dict[str, Any]:
    names = ("expires_at", "limit_period", "model_privacy", "models")
    return {name: getattr(terms, name) for name in names}
