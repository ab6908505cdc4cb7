"""Which moves have their hold said before anybody joins the new place."""

from __future__ import annotations

from ...settings import Settings
from .early_note import EarlyNote
from .ground import Ground
from .noting import Noting
from .placing import Placing
from .scouting import Scouting
from .stages import Stage, Way
from .standing import auto_commits

__all__ = ["EarlyNotes"]


class EarlyNotes:
    """Those of groups that commit, unless both places are read at once."""

    def __init__(
        self,
        settings: Settings,
        ground: Ground,
        noting: Noting,
        scouting: Scouting,
        placing: Placing,
    ) -> None:
        self._overlaps = settings.on_move == "overlap"
        self._ground = ground
        self._noting = noting
        self._scouting = scouting
        self._placing = placing

    def of(self, way: Way, coming: Stage) -> EarlyNote | None:
        """What to say of `coming`, which the channel goes to next."""
        head = way.head
        if self._overlaps or not (auto_commits(head.place) or self._ground.commits()):
            return None
        window = self._scouting.window(head)
        return self._noting.early(head, coming, window, self._placing.since(coming, window))
