"""`python -m riskmon`."""

from riskmon.cli import main

if __name__ == "__main__":
    main()
