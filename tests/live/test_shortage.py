"""What the machine lacks is the gateway's to say: it is no fault of the request, nor of the provider."""

from __future__ import annotations

import resource

import pytest

from tests.conftest import StartGateway
from tests.live.expect import expect_error, head, read_answer
from tests.live.gateway import Gateway, chat_body


def take_memory(gateway: Gateway, left: int) -> None:
    """Let the worker have so many bytes more and no others."""
    worker = gateway.worker()
    _, hard = resource.prlimit(worker.pid, resource.RLIMIT_AS)
    resource.prlimit(worker.pid, resource.RLIMIT_AS, (worker.memory_info().vms + left, hard))


@pytest.mark.parametrize("megabytes", [3, 18])
def test_no_memory_for_a_body(start_gateway: StartGateway, megabytes: int) -> None:
    """A body that there is no room for is a 503 that says when to come back, and the next small one is answered."""
    gateway = start_gateway()
    assert gateway.chat().status == 200
    message = b'{"role":"user","content":"' + b"hello " * 160 + b'"},'
    body = b'{"model":"openclaw","messages":[' + message * (megabytes * 1000)
    take_memory(gateway, 2 * megabytes << 20)
    refused = gateway.call(body=body + b'{"role":"user","content":"hi"}]}')
    assert "memory" in expect_error(refused, 503, "overloaded")
    assert refused.headers["Retry-After"]
    assert gateway.chat().status == 200


def test_no_file_for_the_provider(start_gateway: StartGateway) -> None:
    """Where no file is left for the connection to the provider, that is what callers are told, whole and streamed."""
    gateway = start_gateway()
    worker = gateway.worker()
    soft, hard = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
    with gateway.connect() as connection:
        connection.sendall(head(gateway, "GET /v1/models HTTP/1.1"))
        assert read_answer(connection, "GET").status == 200
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (worker.num_fds(), hard))
        for stream in (False, True):
            connection.sendall(gateway.raw_request(chat_body(stream=stream)))
            assert "too many files" in expect_error(read_answer(connection), 503, "overloaded")
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (soft, hard))
        connection.sendall(gateway.raw_request(chat_body()))
        assert read_answer(connection).status == 200
