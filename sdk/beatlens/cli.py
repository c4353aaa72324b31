"""The command `beatlens`: starts the verbs, and says in one line what is wrong or missing.

The verbs need the packages of the extra `train`. An install that only runs models has none of them,
yet has the command: it then says what to install, without a traceback.
"""

import sys

from beatlens.errors import BeatlensError

_INSTALL = "pip install 'beatlens[train,litert]'"


def main() -> None:
    """Run the command line; exit 1 on an error that beatlens raises on purpose, 2 on wrong usage.

    Also exits 1 where a package that the verbs need is not installed.
    """
    try:
        from beatlens.verbs.app import app

        app()
    except BeatlensError as error:
        sys.exit(f"beatlens: {error}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "beatlens":
            raise
        sys.exit(
            f"beatlens: this command needs the Python package {error.name!r}, which is not"
            f" installed. Install it with: {_INSTALL}"
        )
