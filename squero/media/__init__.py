"""Bytes: sealed objects at rest, spooled bodies, looking into media."""
