"""Keeps what a customer wrote out of what an engine's process writes to its standard error."""

VEIL = "(a line that resembles the prompt)"
RUN = 6


class Confidences:
    """The texts of the shot in progress and of the one before, whose lines may still come."""

    def __init__(self) -> None:
        self._earlier: frozenset[str] = frozenset()
        self._current: frozenset[str] = frozenset()

    def keep(self, *texts: str) -> None:
        """Veil these texts from now on, and forget those before the last."""
        spelled = (form for text in texts for form in (text, ascii(text)[1:-1]) if text.strip())
        runs = frozenset[str]().union(*(_runs(form.casefold().strip()) for form in spelled))
        self._earlier, self._current = self._current, runs

    def veil(self, line: str) -> str:
        """The line, or a stand-in when it shares a run of six characters with a text."""
        folded = line.casefold()
        secret = self._earlier | self._current
        if not secret.isdisjoint(_runs(folded)):
            return VEIL
        return VEIL if any(len(run) < RUN and run in folded for run in secret) else line


def _runs(text: str) -> set[str]:
    """Every run of six characters of a text, or all of a shorter one."""
    return {text[start : start + RUN] for start in range(max(1, len(text) - RUN + 1))}
