"""`python -m stateward.cli`, for where no script is installed."""

from stateward.cli import main

main()
