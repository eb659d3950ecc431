"""Sagas and gatherings: builders that make ordinary lifecycles of steps, or of facts to gather."""
