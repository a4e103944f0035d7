"""The client of the control plane, and how it tells that there is nothing to talk to."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import orjson
import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, Pong, Request, TextMessage

from app.cli import wire
from app.cli.client import Client
from app.cli.failures import NoGateway, NotLetIn, RequestFailed
from tests.conftest import StartGateway
from tests.live.gateway import TOKEN, Gateway
from tests.scripted import Hang, ScriptedProvider


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    with Client(url_of(gateway), TOKEN) as client:
        yield client


def url_of(gateway: Gateway) -> str:
    return gateway.url.replace("http", "ws", 1)


@contextmanager
def server(serve: Callable[[socket.socket], object]) -> Iterator[str]:
    """A program on a port that does with each connection what the test says; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        serve(connection)
            except OSError:
                return

        threading.Thread(target=run, daemon=True).start()
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def test_a_request_is_answered(client: Client) -> None:
    """The payload comes back; what the gateway said at the beginning is known."""
    assert client.hello["type"] == "hello-ok"
    assert {agent["id"] for agent in client.request("agents.list")["agents"]} == {"main", "beta"}


def test_a_refusal_has_its_code(client: Client) -> None:
    """Wrong parameters are exit code 2, all else is 1."""
    with pytest.raises(RequestFailed, match="unknown method: nope") as caught:
        client.request("nope")
    assert (caught.value.code, caught.value.exit_code) == ("INVALID_REQUEST", 2)
    assert RequestFailed("UNAVAILABLE", "busy").exit_code == 1


def test_events_come_until_the_answer_does(client: Client) -> None:
    """Only those that were asked for."""
    client.heed = lambda event: event.payload.get("runId") == "client-events"
    request = client.begin("agent", {"message": "hi", "sessionKey": "client-events", "idempotencyKey": "client-events"})
    assert client.answer(request)["status"] == "accepted"
    events = list(client.events(until=request))
    assert client.answer(request)["status"] == "ok"
    assert {event.name for event in events} == {"agent", "chat"}
    assert [event.payload["state"] for event in events if event.name == "chat"][-1] == "final"


def test_an_answer_may_not_come_in_time(client: Client, provider: ScriptedProvider) -> None:
    """What is waited for too long is told."""
    provider.enqueue(Hang())
    request = client.begin("agent", {"message": "hi", "sessionKey": "client-slow", "idempotencyKey": "client-slow"})
    client.answer(request)
    with pytest.raises(NoGateway, match=r"did not answer within 0\.1 s"):
        client.answer(request, 0.1)
    client.request("chat.abort", {"sessionKey": "client-slow"})


def test_a_long_message_arrives(client: Client) -> None:
    """Whole, in both directions."""
    text = "x" * 3_000_000
    client.request("chat.inject", {"sessionKey": "client-long", "message": text[:1_000_000]})
    told = client.request("chat.history", {"sessionKey": "client-long", "maxChars": 500_000})
    assert len(orjson.dumps(told)) > 400_000
    with pytest.raises(RequestFailed, match="message"):
        client.request("chat.inject", {"sessionKey": "client-long", "message": text})


@pytest.mark.parametrize(("secret", "said"), [("wrong", "refuses this secret"), (None, "wants a secret")])
def test_a_stranger_is_not_let_in(gateway: Gateway, secret: str | None, said: str) -> None:
    """What to do is told, the secret isn't; exit code 1."""
    with pytest.raises(NotLetIn, match=said) as caught:
        Client(url_of(gateway), secret)
    assert caught.value.exit_code == 1
    assert "wrong" not in caught.value.message


def test_nobody_is_there() -> None:
    """Exit code 3, and how to start a gateway."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NoGateway, match=rf"no gateway at ws://127\.0\.0\.1:{port}: connection refused") as caught:
        Client(f"ws://127.0.0.1:{port}", None)
    assert caught.value.exit_code == 3
    assert "make run" in caught.value.message


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", "it answered HTTP 404 and no WebSocket"),
        (
            b'HTTP/1.1 403 Forbidden\r\nContent-Length: 43\r\n\r\n{"error":{"message":"host not allowed: x"}}',
            "host not allowed: x",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 100_000, "it answered HTTP 200"),
        (b"220 ready\r\n\r\n", "what answers there doesn't speak HTTP"),
        (b"", "it closed the connection"),
    ],
    ids=["another server", "a refusal", "a long page", "no HTTP", "nothing"],
)
def test_something_else_is_there(answer: bytes, said: str) -> None:
    """What answers is told in a few words."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(answer)

    with server(serve) as url, pytest.raises(NoGateway) as caught:
        Client(url, None)
    assert said in caught.value.message


def test_silence_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that listens and says nothing doesn't hold the command for ever."""
    monkeypatch.setattr(wire, "OPEN_WITHIN", 0.2)
    hold = threading.Event()
    with server(lambda _: hold.wait(20)) as url, pytest.raises(NoGateway, match=r"no answer within 0\.2 s"):
        Client(url, None)
    hold.set()


def test_a_name_that_is_none() -> None:
    """One line, without a traceback."""
    with pytest.raises(NoGateway, match=r"no gateway at ws://nowhere\.invalid:1: "):
        Client("ws://nowhere.invalid:1", None)


def test_tls_where_there_is_none(gateway: Gateway) -> None:
    """wss:// to a gateway without TLS says so."""
    with pytest.raises(NoGateway, match="no TLS there"):
        Client(gateway.url.replace("http", "wss", 1), TOKEN)


def test_a_certificate_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not trusted is refused, and how to trust it is told."""

    class Untrusted(ssl.SSLContext):
        def wrap_socket(self, *_: object, **__: object) -> ssl.SSLSocket:
            error = ssl.SSLCertVerificationError(1, "certificate verify failed")
            error.verify_message = "self-signed certificate"
            raise error

    monkeypatch.setattr(ssl, "create_default_context", lambda: Untrusted(ssl.PROTOCOL_TLS_CLIENT))
    with server(lambda connection: connection.recv(1)) as url, pytest.raises(NoGateway) as caught:
        Client(url.replace("ws", "wss", 1), None)
    assert "its certificate is not trusted: self-signed certificate; SSL_CERT_FILE" in caught.value.message


def test_a_gateway_that_goes_away(start_gateway: StartGateway) -> None:
    """A request on a connection that is lost fails at once, again and again, with exit code 3."""
    gateway = start_gateway()
    with Client(url_of(gateway), TOKEN) as client:
        gateway.stop()
        for _ in range(2):
            with pytest.raises(NoGateway, match="is lost") as caught:
                client.request("health")
        assert caught.value.exit_code == 3


def test_pings_are_answered_while_nothing_is_asked() -> None:
    """The user may think as long as they like."""
    answered = threading.Event()

    def serve(connection: socket.socket) -> None:
        peer = WSConnection(ConnectionType.SERVER)
        while not answered.is_set() and (data := connection.recv(65_536)):
            peer.receive_data(data)
            for event in peer.events():
                if isinstance(event, Request):
                    connection.sendall(peer.send(AcceptConnection()))
                elif isinstance(event, TextMessage):
                    frame = {"type": "res", "id": orjson.loads(event.data)["id"], "ok": True, "payload": {}}
                    connection.sendall(peer.send(TextMessage(data=orjson.dumps(frame).decode())))
                    connection.sendall(peer.send(Ping(payload=b"there?")))
                elif isinstance(event, Pong):
                    answered.set()

    with server(serve) as url:
        client = Client(url, None)
        assert answered.wait(10)
        client.close()


@pytest.mark.parametrize("text", ["no json", "[]", '{"type":"res"}', '{"type":"hello"}'])
def test_what_is_no_frame_ends_the_connection(text: str) -> None:
    """Whatever that is, it is no gateway."""

    def serve(connection: socket.socket) -> None:
        peer = WSConnection(ConnectionType.SERVER)
        while data := connection.recv(65_536):
            peer.receive_data(data)
            for event in peer.events():
                if isinstance(event, Request):
                    connection.sendall(peer.send(AcceptConnection()))
                    connection.sendall(peer.send(TextMessage(data=text)))
                elif isinstance(event, CloseConnection):
                    return

    with server(serve) as url, pytest.raises(NoGateway, match="no frame of the protocol"):
        Client(url, None)
