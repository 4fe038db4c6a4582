"""The errors that an operation can end with, by the names that the protocol gives them."""

from __future__ import annotations

NAMESPACE = "aws.greengrass#"


class IpcError(Exception):
    """Ends an operation with an error. `shape` is its full name, `code` that without the namespace."""

    def __init__(self, shape: str, text: str) -> None:
        super().__init__(f"{shape}: {text}")
        self.shape = shape
        self.code = shape.rpartition("#")[2]
        self.text = text


def service_error(text: str) -> IpcError:
    return IpcError(NAMESPACE + "ServiceError", text)


def invalid_arguments(text: str) -> IpcError:
    return IpcError(NAMESPACE + "InvalidArgumentsError", text)


def not_found(text: str = "Key not found.") -> IpcError:
    return IpcError(NAMESPACE + "ResourceNotFoundError", text)


def unauthorized(text: str) -> IpcError:
    return IpcError(NAMESPACE + "UnauthorizedError", text)


def stale(text: str) -> IpcError:
    return IpcError(NAMESPACE + "FailedUpdateConditionCheckError", text)
