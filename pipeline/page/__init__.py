"""The web page: files that need no server, and the data that each minute hands to them.

`index.html`, `page.css` and `page.js` change with the version. The data are small scripts, which browsers load from `file://`
too: one for the pictures and failures of an hour, one that names the newest picture, one for the calendar, one for the
favourites. All of it can be made again from the archive.
"""

from pipeline.page.data import add_pictures, mend, note_failure, picture_entry, publish, rebuild, refresh
from pipeline.page.html import status_line

__all__ = ["add_pictures", "mend", "note_failure", "picture_entry", "publish", "rebuild", "refresh", "status_line"]
