import signal
import socket
import threading

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from riskmon.errors import ConfigError
from riskmon.publish.server import Server


@pytest.fixture
def hello() -> Starlette:
    return Starlette(routes=[Route("/", lambda _: PlainTextResponse("hello"))])


def test_port_zero_takes_a_free_port_and_says_which(hello):
    with Server(hello, "127.0.0.1:0") as server:
        host, port = server.address
        assert host == "127.0.0.1"
        assert port > 0
        assert server.url == f"http://127.0.0.1:{port}"
        assert httpx.get(server.url).text == "hello"


def test_after_stop_the_port_is_free_again_and_the_thread_is_gone(hello):
    server = Server(hello, "127.0.0.1:0")
    assert not server.running
    server.start()
    assert server.running
    with httpx.Client(base_url=server.url) as client:  # a kept-alive connection does not hold it up
        assert client.get("/").text == "hello"
        server.stop()
    assert not server.running
    host, port = server.address
    with Server(hello, f"{host}:{port}") as successor:
        assert httpx.get(successor.url).text == "hello"


def test_stop_ends_even_while_an_answer_hangs():
    entered, release = threading.Event(), threading.Event()

    def hang(_):
        entered.set()
        release.wait(30)
        return PlainTextResponse("late")

    server = Server(Starlette(routes=[Route("/", hang)]), "127.0.0.1:0")
    server.start()
    with socket.create_connection(server.address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert entered.wait(10)
        stopper = threading.Thread(target=server.stop)
        stopper.start()
        stopper.join(10)
        assert not stopper.is_alive()
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url)
    release.set()


def test_stopping_twice_or_before_the_start_does_nothing(hello):
    server = Server(hello, "127.0.0.1:0")
    server.stop()
    with pytest.raises(RuntimeError, match="before it is started"):
        server.address  # noqa: B018
    with server:
        server.stop()
    assert not server.running


def test_signal_handlers_stay_with_the_daemon(hello):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with Server(hello, "127.0.0.1:0") as server:
        assert httpx.get(server.url).text == "hello"
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_ipv6_addresses_stand_in_brackets(hello):
    with Server(hello, "[::1]:0") as server:
        assert server.url == f"http://[::1]:{server.address[1]}"
        assert httpx.get(server.url).text == "hello"


def test_a_port_in_use_is_the_users_to_fix(hello):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(
            ConfigError, match=rf"^publish\.listen {listen} is in use; stop the other process"
        ):
            Server(hello, listen).start()


@pytest.mark.parametrize(
    ("listen", "complaint"),
    [
        ("127.0.0.1:65536", "the port must be from 0 to 65535"),
        ("203.0.113.7:0", "is no address of this machine"),
        ("no-such-host.invalid:0", "names no host that can be resolved"),
    ],
)
def test_other_impossible_addresses_are_explained(hello, listen, complaint):
    with pytest.raises(ConfigError, match=complaint) as caught:
        Server(hello, listen).start()
    assert listen in str(caught.value)
