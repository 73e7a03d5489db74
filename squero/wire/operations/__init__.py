"""What our OpenAPI document tells of each call: one record a call, one file a tag, in our words."""

from collections.abc import Mapping
from typing import Final

from squero.wire.operations import billing, keys, models, video
from squero.wire.operations.fields import FIELDS
from squero.wire.operations.operation import Operation

__all__ = ["FIELDS", "OPERATIONS", "Operation"]

OPERATIONS: Final[Mapping[str, Operation]] = {
    **video.OPERATIONS,
    **models.OPERATIONS,
    **keys.OPERATIONS,
    **billing.OPERATIONS,
}
"""By method and path below /api/v1."""
