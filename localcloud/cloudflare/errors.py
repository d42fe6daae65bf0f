"""What the API refuses, with Cloudflare's codes. No HTTP here but the status number."""


class ApiError(Exception):
    """A call is answered with an error envelope."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.status = status
        self.code = code
        self.message = message


def unauthenticated() -> ApiError:
    """No bearer token came along."""
    return ApiError(401, 10000, "Authentication error")


def wrong_token(*, verifying: bool) -> ApiError:
    """The bearer token is not the account's."""
    if verifying:
        return ApiError(401, 1000, "Invalid API Token")
    return ApiError(403, 9109, "Invalid access token")


def foreign_account() -> ApiError:
    """The token has no rights on the account."""
    return ApiError(403, 10000, "Authentication error")


def foreign_zone() -> ApiError:
    """The token has no rights on the zone."""
    return ApiError(403, 9109, "Unauthorized to access requested resource")


def no_route(path: str) -> ApiError:
    """Nothing answers at a path, or an id in it has the wrong form."""
    why = "perhaps your object identifier is invalid?"
    return ApiError(404, 7003, f"Could not route to {path}, {why}")


def bad_request(code: int, message: str) -> ApiError:
    """A body or a parameter is not what it must be."""
    return ApiError(400, code, message)
