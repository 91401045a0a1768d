"""Open a page in QtWebKit, a browser of 2018: python qtwebkit.py ADDRESS SCRIPT...

Each script is run again and again until it gives something true, which is printed as a line of JSON; then comes the next one.
A minute is the most that all may take. Run by a Python that has PyQt5.QtWebKitWidgets.
"""

import json
import sys
import time

from PyQt5.QtCore import QUrl  # type: ignore[import-not-found,unused-ignore]
from PyQt5.QtWebKitWidgets import QWebPage, QWebView  # type: ignore[import-not-found,unused-ignore]
from PyQt5.QtWidgets import QApplication  # type: ignore[import-not-found,unused-ignore]


class Page(QWebPage):  # type: ignore[misc,unused-ignore]
    """A page whose errors are printed."""

    def javaScriptConsoleMessage(self, message: str, line: int, source: str) -> None:
        """Print what the console would show."""
        print(f"{source}:{line}: {message}", file=sys.stderr)


def main(address: str, *scripts: str) -> None:
    """Open the page and run the scripts."""
    give_up = time.monotonic() + 60
    application = QApplication(["qtwebkit"])
    view = QWebView()
    view.setPage(Page(view))
    view.resize(1024, 768)
    view.show()
    view.load(QUrl(address))
    for script in scripts:
        found = None
        while not found and time.monotonic() < give_up:
            application.processEvents()
            time.sleep(0.02)
            found = view.page().mainFrame().evaluateJavaScript(script)
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
