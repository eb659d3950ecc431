"""What stateward costs, beside its peers and hand-written floors: `python -m bench`."""
