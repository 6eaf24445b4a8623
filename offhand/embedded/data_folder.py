"""Where `offhand up` keeps its data: one place for each user, whatever the current folder."""

import os
from pathlib import Path

from offhand.terminal.output import Output

#: Where the first release kept its data, below the folder that it was started in.
FIRST_RELEASE = "offhand-data"


def default_data_folder() -> Path:
    """Return ``$XDG_DATA_HOME/offhand``, else ``~/.local/share/offhand`` (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_DATA_HOME", "")
    # The specification has relative paths ignored.
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "share") / "offhand"


def data_folder(output: Output) -> Path:
    """Return the default data folder. A folder of the first release below the current one is named in a note."""
    earlier = Path(FIRST_RELEASE)
    if earlier.is_dir():
        output.note(
            f"{earlier.absolute()} holds data of an earlier start; to use it: offhand up --data {FIRST_RELEASE}"
        )
    return default_data_folder()
