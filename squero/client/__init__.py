"""HTTP with retries and back-off, the Python client on it, and the core of a worker's calls."""

from squero.client.backoff import Backoff
from squero.client.errors import (
    ApiError,
    BrokenDownload,
    ClientError,
    JobFailed,
    UnexpectedAnswer,
    Unreachable,
)
from squero.client.http import Http
from squero.client.sync import SyncClient, SyncVideo
from squero.client.video import Client, Job, Progress, Video, VideoRequest

__all__ = [
    "ApiError",
    "Backoff",
    "BrokenDownload",
    "Client",
    "ClientError",
    "Http",
    "Job",
    "JobFailed",
    "Progress",
    "SyncClient",
    "SyncVideo",
    "UnexpectedAnswer",
    "Unreachable",
    "Video",
    "VideoRequest",
]
