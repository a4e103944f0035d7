import pytest

from app.auth import Request, repeated_names


def test_environ_gives_peer_and_headers():
    """A WSGI environ becomes the peer and its headers by lower-case name."""
    environ = {
        "REMOTE_ADDR": "10.0.0.1",
        "HTTP_X_REAL_IP": "1.2.3.4",
        "HTTP_HOST": "x",
        "PATH_INFO": "/",
        "wsgi.input": 1,
    }
    request = Request.from_environ(environ)
    assert request == Request("10.0.0.1", {"x-real-ip": "1.2.3.4", "host": "x"})


@pytest.mark.parametrize(
    ("names", "repeated"),
    [
        ([], set()),
        (["HOST", "ACCEPT"], set()),
        (["X-User", "Accept", "x-USER"], {"x-user"}),
        (["A", "B", "A", "B", "A"], {"a", "b"}),
    ],
)
def test_repeated_names(names, repeated):
    """Names that come twice are told whatever their case."""
    assert repeated_names([(name, "v") for name in names]) == repeated
