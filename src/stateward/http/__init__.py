"""The HTTP face: an ASGI application over an engine, its OpenAPI document, and what serves it."""

from stateward.errors import ExtraMissing

try:
    from stateward.http.app import Api
    from stateward.http.guarding import Token
    from stateward.http.limits import Limits
    from stateward.http.measuring import metrics_of
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] not in ("starlette", "anyio"):
        raise
    raise ExtraMissing(package=error.name.partition(".")[0], extra="http") from error

__all__ = ["Api", "Limits", "Token", "metrics_of"]
