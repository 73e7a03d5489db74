"""An errand: a task on its way to a sandboxed child, as both ends of the sandbox know it.

This is all of the sandbox that a zygote needs, and it imports next to nothing: whatever a zygote
has loaded, each of its children pays for.
"""

import struct
from collections.abc import Callable
from typing import Any

LIMIT_MESSAGE = 64 * 1024
LIMIT_DESCRIPTORS = 8
LIMIT_REFUSAL = 200

Task = Callable[[dict[str, Any], list[int]], dict[str, Any]]
"""What runs in a child: arguments and descriptors in, a JSON object out."""

ORDER = struct.Struct("=QII")
"""Parent to zygote: the task's number, its milliseconds, of which 0 kills it, and its seconds of
processor time."""
ENDED = struct.Struct("=Qi?")
"""Zygote to parent: the task's number, the child's wait status, and whether it was late."""
READY = b"ready"


class SandboxRefusal(Exception):
    """The task's function refused on purpose; the message is fit for whoever sent the bytes."""
