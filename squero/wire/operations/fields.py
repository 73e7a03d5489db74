"""The fields of requests, in our words."""

from collections.abc import Mapping
from typing import Any, Final

from squero.wire.operations.operation import KEY_ID, QUEUE_ID, TEXT_MODEL


def _field(text: str, *examples: object) -> dict[str, Any]:
    return {"description": text} | ({"examples": list(examples)} if examples else {})


_MEDIA: Final = "A data URL, or an http(s) URL on port 80 or 443."

FIELDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "model": _field("An id of GET /models.", TEXT_MODEL),
    "prompt": _field("What is to be seen.", "a slow pan over the lagoon at dawn"),
    "negative_prompt": _field("What is not to be seen."),
    "duration": _field("One of the model's durations, a text.", "5s"),
    "aspect_ratio": _field("One of the model's aspect ratios.", "16:9"),
    "resolution": _field("One of the model's resolutions.", "480p"),
    "audio": _field("Whether it has sound, where the model lets one choose.", True),
    "image_url": _field(f"The picture to begin with. {_MEDIA}"),
    "end_image_url": _field(f"The picture to end with. {_MEDIA}"),
    "audio_url": _field(f"A WAV or MP3 to go with it. {_MEDIA}"),
    "video_url": _field(f"An MP4, MOV or WebM to work on. {_MEDIA}"),
    "upscale_factor": _field("How many times larger it becomes."),
    "reference_image_urls": _field(f"Pictures to go by. {_MEDIA}"),
    "reference_video_urls": _field(f"Videos to go by. {_MEDIA}"),
    "reference_audio_urls": _field(f"Sounds to go by. {_MEDIA}"),
    "reference_video_total_duration": _field("The seconds of all videos to go by together."),
    "queue_id": _field("What the queue call gave.", QUEUE_ID),
    "delete_media_on_completion": _field("Delete the video once its last byte has arrived."),
    "id": _field("The key's id.", KEY_ID),
    "apiKeyType": _field("ADMIN keys administer the account, and may do what others may."),
    "description": _field("What the key is for.", "render farm"),
    "consumptionLimit": _field("What the key may spend in a period.", {"usd": 50, "diem": 10}),
    "expiresAt": _field(
        "When it ends: `YYYY-MM-DD`, that day's beginning in UTC, or `YYYY-MM-DDTHH:MM:SS(.mmm)Z`; "
        "empty is never.",
        "2030-01-01",
        "2030-01-01T12:00:00Z",
    ),
    "limitPeriod": _field("The UTC day, the calendar month, or for ever."),
    "modelPrivacy": _field("Kept as it is set: every model is private."),
    "models": _field("The models that the key may use; without it every one.", [TEXT_MODEL]),
}
"""What the fields of a request mean, by name."""
