"""How groups of verbs are parsed and shown: `beatlens`, `beatlens data`."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class VerbGroup(TyperGroup):
    """A group of verbs; its flags are off where typer leaves them unset.

    Of `--help` and the options for completion typer would convert the unset value, and import
    pydantic for that at every start.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        """Options of the group, `--help` among them."""
        options = super().get_params(ctx)
        for option in options:
            if getattr(option, "is_flag", False) and option.default is None:
                option.default = False
        return options
