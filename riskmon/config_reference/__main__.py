"""`python -m riskmon.config_reference page|file`."""

from __future__ import annotations

import sys

from riskmon.config_reference.file import render_file
from riskmon.config_reference.page import render_page


def main() -> None:
    """Write the page or the file to standard output."""
    renderers = {"page": render_page, "file": render_file}
    if len(sys.argv) != 2 or sys.argv[1] not in renderers:
        sys.exit("usage: python -m riskmon.config_reference page|file")
    sys.stdout.write(renderers[sys.argv[1]]())


if __name__ == "__main__":
    main()
