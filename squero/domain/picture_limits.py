"""A model's limits on the pictures that it is sent, held against what was found in them."""

from collections.abc import Iterator, Mapping

from squero.domain.inputs import Input
from squero.domain.model import Constraints, Model
from squero.errors import InvalidRequest, Issue
from squero.media.look import Picture


def check(model: Model, found: Mapping[str, Input]) -> None:
    """Raises InvalidRequest with all that is too small, too tall or too wide, by its field.

    What counts is a picture as it was sent, upright: not as it was drawn anew, which is smaller
    where it was very large.
    """
    pictures = {f"{role}_url": one for role, one in found.items() if isinstance(one, Picture)}
    issues = [
        issue for field, one in pictures.items() for issue in _issues(model.constraints, field, one)
    ]
    if issues:
        raise InvalidRequest(issues)


def _issues(limits: Constraints, field: str, picture: Picture) -> Iterator[Issue]:
    width, height = picture.sent_width, picture.sent_height
    image = f"it is {width}x{height} pixels"
    side = limits.reference_image_min_short_side_pixels
    if side is not None and min(width, height) < side:
        wanted = f"this model needs at least {side} on its shorter side. Send a larger one"
        message = f"Image dimensions are too small: {image}, and {wanted}"
        yield Issue((field,), message, "too_small")
    least = limits.reference_image_min_aspect_ratio
    if least is not None and width / height < least:
        wanted = f"width / height must be at least {least} for this model. Crop it at top or bottom"
        yield Issue((field,), f"Image is too tall: {image}, and {wanted}", "too_small")
    most = limits.reference_image_max_aspect_ratio
    if most is not None and width / height > most:
        wanted = f"width / height must be at most {most} for this model. Crop it at its sides"
        yield Issue((field,), f"Image is too wide: {image}, and {wanted}", "too_big")
