"""Opening a file that holds sound or video and that nobody trusts: runs only in the sandbox.

One demuxer that is named beforehand, the decoders of a list, one thread, and no way from the file
to another one: FFmpeg would follow references to files and to the network unless each is shut.
"""

from collections.abc import Sequence
from typing import Any, NoReturn

import av
from av.container import InputContainer
from av.stream import Stream

from squero.errand import SandboxRefusal

MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
WEBM = "matroska,webm"


def opened(file: Any, demuxer: str, codecs: Sequence[str], *, streams: int = 4) -> InputContainer:
    """The file, read by this demuxer alone; raises FFmpegError when it is something else.

    FFmpeg probes with these codecs and no others; which of them to decode is the caller's to check.
    """
    options = {
        "format_whitelist": demuxer,
        "protocol_whitelist": "",
        "codec_whitelist": ",".join(codecs),
        "max_streams": str(streams),
    }
    if demuxer == MP4:
        options |= {"enable_drefs": "0", "use_absolute_path": "0"}
    container: InputContainer = av.open(
        file,
        "r",
        format=demuxer.split(",")[0],
        container_options=options,
        io_open=_open_nothing,
        metadata_errors="replace",
    )
    return container


def codec_of(stream: Stream) -> str:
    """The name of the stream's codec; empty when FFmpeg has no decoder for it."""
    context = stream.codec_context
    return context.codec.canonical_name if context is not None else ""


def _open_nothing(*_: object) -> NoReturn:
    raise SandboxRefusal("The file refers to another file")
