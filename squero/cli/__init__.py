"""The ways in: the command `squero`."""


def main() -> None:
    """Run the command line."""
