"""What can be seen of what happens: a value for each event that was dealt with, log lines and metrics made of them."""

from stateward.observe.committed import Committed, Listener, Stay
from stateward.observe.logs import JsonLines

__all__ = ["Committed", "JsonLines", "Listener", "Stay"]
