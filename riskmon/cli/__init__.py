"""The command line. Exit codes: 0 done; 1 failed while running; 2 the user can fix it; 130 on Ctrl-C.

`compare` answers a question, and has two codes more: 3 hold, 4 undecided.

`entry` lists the commands; they stand in files by what they work on: `production`, `ingest`, `prompts`, `checks`,
`keys`, `upkeep`, `calibrate`, `bench`, `demo`. Everything heavy is imported by the command that needs it, so that
`riskmon --help` answers at once.
"""

from riskmon.cli.entry import app, main

__all__ = ["app", "main"]
