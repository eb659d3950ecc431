"""The HTTP face: an ASGI application over an engine, and what serves it."""
