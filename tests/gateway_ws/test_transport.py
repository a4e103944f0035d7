"""What goes over the socket, and what must not."""

from __future__ import annotations

import json
import socket
import struct
import threading

import psutil
import pytest
import websocket
from wsproto.connection import Connection as WSConnection
from wsproto.connection import ConnectionType

from app.gateway_ws.transport import _text_frame
from tests.conftest import StartGateway
from tests.gateway_ws.client import Client, Frame, Refused, connected
from tests.live.gateway import Gateway, wait_until
from tests.scripted import Hang, Reply, ScriptedProvider

MEGABYTE = 1024 * 1024


def masked(payload: bytes, opcode: int = 1, *, last: bool = True) -> bytes:
    """A client's frame as it goes over the wire, masked with zeros."""
    head = bytes([opcode | (0x80 if last else 0)])
    if len(payload) < 126:
        head += bytes([0x80 | len(payload)])
    elif len(payload) < 65536:
        head += bytes([0x80 | 126]) + struct.pack("!H", len(payload))
    else:
        head += bytes([0x80 | 127]) + struct.pack("!Q", len(payload))
    return head + bytes(4) + payload


def echo(client: Client, size: int) -> None:
    """A request of so many bytes, whose unknown method comes back in an error."""
    with pytest.raises(Refused, match="unknown method"):
        client.call("x" * 100, {"padding": "y" * size})


def test_a_message_of_eight_megabytes_is_taken_whole(gateway: Gateway) -> None:
    """Nothing is cut or lost on the way."""
    with connected(gateway) as client:
        echo(client, 8 * MEGABYTE)


def test_a_message_in_many_fragments_is_one_message(gateway: Gateway) -> None:
    """However a client cuts it, in the middle of a letter too."""
    with connected(gateway) as client:
        text = json.dumps({"type": "req", "id": "ü1", "method": "nö"}, ensure_ascii=False).encode()
        pieces = [text[i : i + 1] for i in range(len(text))]
        wire = masked(pieces[0], 1, last=False)
        for piece in pieces[1:-1]:
            wire += masked(piece, 0, last=False)
        client.socket.sock.sendall(wire + masked(pieces[-1], 0))
        with pytest.raises(Refused, match="nö"):
            client.answer("ü1")


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536, 200_000])
def test_what_is_sent_is_one_message_of_any_size(size: int) -> None:
    """The length is written in each of the three ways that the protocol has."""
    reader = WSConnection(ConnectionType.CLIENT)
    reader.receive_data(_text_frame(b"x" * size))
    pieces = list(reader.events())
    assert "".join(piece.data for piece in pieces) == "x" * size
    assert pieces[-1].message_finished


def test_a_peer_that_sends_byte_by_byte_is_understood(gateway: Gateway) -> None:
    """And others are answered meanwhile."""
    with connected(gateway) as slow, connected(gateway) as other:
        slow.socket.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in masked(json.dumps({"type": "req", "id": "s", "method": "nope"}).encode()):
            slow.socket.sock.sendall(bytes([byte]))
        echo(other, 1)
        with pytest.raises(Refused, match="unknown method"):
            slow.answer("s")


def test_before_connect_a_message_is_small(gateway: Gateway) -> None:
    """Over 64 KiB the client reads 1009, although it was still sending."""
    client = Client(gateway)
    client.challenge()
    client.send("x" * (4 * MEGABYTE))
    assert client.closed().code == 1009


def test_after_connect_a_message_is_bounded(gateway: Gateway) -> None:
    """Over ``maxPayload`` the client reads 1009, and what it asked for before is answered."""
    with connected(gateway) as client:
        id = client.begin("nope")
        client.send("x" * (26 * MEGABYTE))
        with pytest.raises(Refused):
            client.answer(id)
        assert client.closed().code == 1009


def test_compression_is_not_spoken(gateway: Gateway) -> None:
    """A small frame can't become a huge one, and no connection pays for a compressor."""
    headers = ["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"]
    client = Client(gateway, header=headers)
    assert "sec-websocket-extensions" not in client.socket.getheaders()
    assert client.connect().hello["type"] == "hello-ok"
    client.close()


def test_text_that_is_not_utf8_ends_the_connection(gateway: Gateway) -> None:
    """With 1007, as RFC 6455 says."""
    with connected(gateway) as client:
        client.socket.sock.sendall(masked(b"\xff\xfe"))
        assert client.closed().code == 1007


@pytest.mark.parametrize(
    "wire",
    [b"\xf1\x80" + bytes(4), b"\x81\x01x", masked(b"x" * 126, 9)],
    ids=["reserved-bits", "unmasked", "long-ping"],
)
def test_what_breaks_the_protocol_ends_the_connection(gateway: Gateway, wire: bytes) -> None:
    """With 1002, and the client can read it."""
    with connected(gateway) as client:
        client.socket.sock.sendall(wire)
        assert client.closed().code == 1002


def told(client: Client) -> Frame:
    """The next frame that is no event: those come when they like."""
    while (frame := client.receive())["type"] == "event":
        pass
    return frame


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("nonsense", "not JSON"),
        ("[1]", "not an object"),
        ("[" * 100_000, "not JSON"),
        ('{"type":"req","id":"1","method":"' + "x" * 600 + '"}', "method"),
        ('{"type":"res","id":"1","method":"x"}', "type"),
        ('{"type":"req","method":"x"}', "id"),
        ('{"type":"req","id":1,"method":"x"}', "id"),
        ('{"type":"req","id":"","method":"x"}', "id"),
        ('{"type":"req","id":{"a":1},"method":"x"}', "id"),
        ('{"type":"req","id":"1","method":"x","more":1}', "more"),
        ('{"type":"req","id":"1","method":"connect"}', "first"),
    ],
    ids=["text", "list", "deep", "long", "response", "no-id", "number", "empty", "object", "unknown", "connect"],
)
def test_a_frame_that_is_no_request_is_answered_and_the_connection_stays(
    gateway: Gateway, message: str, reason: str
) -> None:
    """The answer says what is wrong, under the request's id where one can be read."""
    with connected(gateway) as client:
        client.send(message)
        answer = told(client)
        assert answer["error"]["code"] == "INVALID_REQUEST"
        assert reason in answer["error"]["message"]
        assert answer["id"] == ("1" if '"id":"1"' in message else "invalid")
        echo(client, 1)


def test_half_an_emoji_in_a_frame_costs_that_character(gateway: Gateway) -> None:
    """A text that was cut in the middle of a pair is no reason to refuse what else is said."""
    with connected(gateway) as client:
        said = {"sessionKey": "half-an-emoji", "message": "cut \ud83d"}
        assert client.call("chat.inject", said)["ok"]
        history = client.call("chat.history", {"sessionKey": "half-an-emoji"})
        assert history["messages"][-1]["content"][0]["text"].endswith("cut \ufffd")


def test_a_binary_frame_is_answered_as_no_request(gateway: Gateway) -> None:
    """Frames are text."""
    with connected(gateway) as client:
        client.socket.send_binary(b'{"type":"req","id":"1","method":"x"}')
        assert "binary" in told(client)["error"]["message"]


def test_twenty_bad_frames_in_a_row_end_the_connection(gateway: Gateway) -> None:
    """A good one in between begins the count anew."""
    with connected(gateway) as client:
        for _ in range(19):
            client.send("nonsense")
        echo(client, 1)
        for _ in range(20):
            client.send("nonsense")
        assert client.closed().code == 1008
        assert len(client._responses["invalid"]) == 39


@pytest.mark.parametrize("where", ["frame", "params"])
def test_a_frame_with_very_many_members_is_refused_by_their_number(gateway: Gateway, where: str) -> None:
    """Rather than one by one, which takes seconds in which nobody else is served."""
    many = dict.fromkeys(map(str, range(200_000)), 1)
    with connected(gateway) as client:
        request = {"type": "req", "id": "1", "method": "health"}
        client.send({**request, **many} if where == "frame" else {**request, "params": many})
        with pytest.raises(Refused, match="members"):
            client.answer("1")


def test_who_may_only_read_has_nothing_large_to_send(gateway: Gateway) -> None:
    """The bound stands in hello-ok."""
    with connected(gateway, scopes=("operator.read",)) as client:
        most = client.hello["policy"]["maxPayload"]
        assert most == MEGABYTE
        echo(client, most - 1000)
        client.send("x" * (most + 1))
        assert client.closed().code == 1009


def test_a_ping_is_answered(gateway: Gateway) -> None:
    """With its payload, before connect too."""
    client = Client(gateway)
    client.challenge()
    client.socket.ping("are you there")
    frame = client.socket.recv_frame()
    assert (frame.opcode, frame.data) == (websocket.ABNF.OPCODE_PONG, b"are you there")
    client.close()


def test_a_client_that_closes_gets_its_code_back(gateway: Gateway) -> None:
    """The closing handshake is done properly."""
    with connected(gateway) as client:
        client.socket.send_close(4321, b"bye")
        assert client.closed().code == 4321


@pytest.mark.parametrize(
    "headers",
    [
        "Sec-WebSocket-Version: 13\r\n",
        "Sec-WebSocket-Version: 7\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ],
    ids=["no-key", "old-version"],
)
def test_a_broken_opening_handshake_is_a_plain_error(gateway: Gateway, headers: str) -> None:
    """400 in the envelope of every other error."""
    with gateway.connect() as raw:
        head = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
        head += f"{headers}\r\n"
        raw.sendall(head.encode())
        answer = b""
        while not answer.endswith(b"}"):
            answer += raw.recv(65536)
        assert answer.startswith(b"HTTP/1.1 400")
        assert b"not a WebSocket handshake" in answer


def worker_of(gateway: Gateway) -> psutil.Process:
    """The other child keeps the local model."""
    return max(psutil.Process(gateway.process.pid).children(), key=lambda child: child.memory_info().rss)


def clients_of(gateway: Gateway) -> int:
    """Connections that are open at the gateway's port."""
    return sum(bool(each.laddr.port == gateway.port and each.raddr) for each in worker_of(gateway).net_connections())


def test_a_client_that_stops_reading_is_closed_and_nobody_waits_for_it(
    start_gateway: StartGateway, provider: ScriptedProvider
) -> None:
    """Runs go on and other callers get all of them; what waits for the slow one is given up with its connection."""
    gateway = start_gateway()
    with connected(gateway):
        assert clients_of(gateway) == 1
        size = 4 * MEGABYTE
        provider.default = Reply(*["z" * (MEGABYTE // 8)] * (8 * size // MEGABYTE))
        for _ in range(8):  # each is told three times over
            assert len(gateway.chat().text) == size
        wait_until(lambda: clients_of(gateway) == 0, "the slow client's connection is closed", 40)
    with connected(gateway) as other:
        echo(other, 1)


# Frames that are no message: pong, ping, the beginning of a message and parts of it without anything in them.
FLOODS = (masked(b"", 10), masked(b"", 9), masked(b"", 0, last=False))


def flood(client: Client, frame: bytes) -> None:
    """Send nothing but these frames until the gateway has had enough."""
    try:
        client.socket.sock.sendall(masked(b"", 1, last=False))
        while True:
            client.socket.sock.sendall(frame * 1000)
    except OSError:
        client.close()


def test_a_thousand_clients_that_never_say_connect_leave_nothing_behind(start_gateway: StartGateway) -> None:
    """They are let go after a while, also those that never stop sending; everything else works meanwhile."""
    gateway = start_gateway()
    with connected(gateway) as client:
        echo(client, 1)
        silent = [Client(gateway) for _ in range(300)]
        floods = [threading.Thread(target=flood, args=(Client(gateway), frame)) for frame in FLOODS]
        for each in floods:
            each.start()
        echo(client, 1)
        assert gateway.call("/healthz", method="GET").status == 200
        assert silent[0].closed(30).code == 1000
        client.event("tick")
        wait_until(lambda: clients_of(gateway) == 1, "the silent connections are closed", 40)
        for each in silent:
            each.close()
        for each in floods:
            each.join()
        echo(client, 1)


def test_a_storm_of_reconnects_leaves_nothing_behind(start_gateway: StartGateway) -> None:
    """Hundreds of clients that come and go at once, some without a word."""
    gateway = start_gateway()
    for round in range(4):
        clients = [Client(gateway) for _ in range(50)]
        for client in clients[:25]:
            client.connect()
        for client in clients:
            client.socket.sock.close() if round % 2 else client.close()
    wait_until(lambda: clients_of(gateway) == 0, "all connections are closed", 40)
    with connected(gateway) as client:
        assert len(client.hello["snapshot"]["presence"]) == 1


def test_other_secrets_end_the_connections_of_the_old_ones(start_gateway: StartGateway) -> None:
    """A token that is taken back opens nothing any more."""
    gateway = start_gateway()
    config = json.loads(gateway.config_path.read_text())
    with connected(gateway) as client:
        gateway.write_config({**config, "session": {"queueLimit": 3}})
        client.event("config.changed")
        echo(client, 1)
        config["gateway"]["auth"]["token"] = "another-token-0123456789"
        gateway.write_config(config)
        assert client.closed().code == 1008
    late = Client(gateway)
    with pytest.raises(Refused, match="token mismatch"):
        late.connect()
    late.close()


def test_a_run_that_the_drain_ends_is_told_before_the_connection_is_closed(
    start_gateway: StartGateway, provider: ScriptedProvider
) -> None:
    """Its end, and the answer to whoever waits for it; no run begins any more."""
    gateway = start_gateway("--graceful-timeout", "7")
    provider.enqueue(Hang())
    with connected(gateway) as client:
        client.call("chat.send", {"sessionKey": "main", "message": "hi", "idempotencyKey": "hangs"})
        provider.wait_for_request()
        waits = client.begin("agent.wait", {"runId": "hangs"})
        gateway.process.terminate()
        client.event("shutdown")
        with pytest.raises(Refused, match="shutting down"):
            client.call("chat.send", {"sessionKey": "other", "message": "hi", "idempotencyKey": "late"})
        assert client.answer(waits)["status"] == "error"
        client.event("chat", runId="hangs", state="error")
        assert client.closed().code == 1012
    assert gateway.wait_for_end() == 0


def test_a_drain_is_announced_and_closes_with_1012(start_gateway: StartGateway) -> None:
    """So that clients know why, and connect again."""
    gateway = start_gateway()
    with connected(gateway) as client:
        gateway.process.terminate()
        assert client.closed().code == 1012
        assert client.heard("shutdown")[0]["payload"]["restartExpectedMs"] > 0
    assert gateway.wait_for_end() == 0
