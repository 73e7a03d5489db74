"""Squero: a self-hosted server that speaks the Venice API, video first."""

__version__ = "0.1.0"
