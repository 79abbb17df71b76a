"""From a service's descriptor and an object's methods to gRPC handlers.

Every method of the standard gets a handler: where the object has none, the answer is
UNIMPLEMENTED and names the method. Handlers never log a request: it may hold credentials.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from corten.cri import errors
from corten.engine.closing import closing
from corten.errors import CortenError, Unimplemented, exhausted

_log = logging.getLogger(__name__)

Unary = Callable[[Any], Awaitable[Message]]
Streaming = Callable[[Any], AsyncIterator[Message]]


def generic_handler(service: ServiceDescriptor, *targets: object) -> grpc.GenericRpcHandler:
    """All methods of a service.

    Arguments:
        targets: have the methods that there are, by the standard's names: async functions
            from request to response, async generators where the response is a stream.
    """
    handlers = {
        method.name: _handler(method, _find(method.name, targets)) for method in service.methods
    }
    return grpc.method_handlers_generic_handler(service.full_name, handlers)


def _find(name: str, targets: tuple[object, ...]) -> Any:
    return next((getattr(target, name) for target in targets if hasattr(target, name)), None)


def _handler(method: MethodDescriptor, function: Any) -> grpc.RpcMethodHandler:
    request = message_factory.GetMessageClass(method.input_type)
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(
            _streaming(method.name, function),
            request_deserializer=request.FromString,
            response_serializer=_serialize,
        )
    return grpc.unary_unary_rpc_method_handler(
        _unary(method.name, function),
        request_deserializer=request.FromString,
        response_serializer=_serialize,
    )


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


def _unary(name: str, function: Unary | None) -> Callable[..., Awaitable[Message]]:
    async def answer(request: Message, context: grpc.aio.ServicerContext) -> Message:
        try:
            if function is None:
                raise _missing(name)
            return await function(request)
        except Exception as error:
            await _refuse(name, error, context)
            raise AssertionError("abort raises") from None

    return answer


def _streaming(name: str, function: Streaming | None) -> Callable[..., AsyncIterator[Message]]:
    async def answer(request: Message, context: grpc.aio.ServicerContext) -> AsyncIterator[Message]:
        try:
            if function is None:
                raise _missing(name)
            async with closing(function(request)) as parts:
                async for part in parts:
                    yield part
        except Exception as error:
            await _refuse(name, error, context)

    return answer


def _missing(name: str) -> Unimplemented:
    return Unimplemented(f"the CRI method {name} is not offered by this version of Corten")


async def _refuse(name: str, error: Exception, context: grpc.aio.ServicerContext) -> None:
    """End the call with the error's code; raises."""
    if isinstance(error, OSError):
        error = exhausted(error) or error
    if isinstance(error, CortenError):
        if error.code == "internal":
            _log.error("%s: %s", name, error)
        await context.abort(errors.status(error), errors.message(error))
    _log.error("%s failed unexpectedly", name, exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
