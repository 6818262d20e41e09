"""The HTTP server: an ASGI application in a thread of its own, beside the loops of the daemon.

The socket is bound and the files of TLS are tried by the caller's thread, so that a port in use or a wrong
certificate is an error at start-up and port 0 is known at once. A server that others than this machine reach warns at
start when it asks nobody who they are. Signals stay with the daemon, which calls `stop`.
"""

from __future__ import annotations

import errno
import logging
import socket
import threading

import uvicorn
from starlette.types import ASGIApp

from riskmon.config.publish import AuthConfig, TlsConfig
from riskmon.errors import ConfigError
from riskmon.publish.access import risks
from riskmon.publish.tls import server_options

STOP_TIMEOUT_S = 2.0
_GRACE_S = 1  # for answers under way; the rest of the timeout is for closing

log = logging.getLogger(__name__)


class Server:
    """Serves an application until it is stopped; also a context manager.

    Args:
        app: the application.
        listen: host:port as in `publish.listen`; an IPv6 host stands in brackets, port 0 takes a free one.
        tls: `publish.tls`; plain HTTP by default.
        auth: `publish.auth`, which the application itself enforces; here it decides about the warnings at start.

    Raises:
        ConfigError: a file of `tls` cannot be used.
    """

    def __init__(
        self, app: ASGIApp, listen: str, *, tls: TlsConfig | None = None, auth: AuthConfig | None = None
    ) -> None:
        self._listen = listen
        self._tls = tls or TlsConfig()
        self._auth = auth or AuthConfig()
        self._address: tuple[str, int] | None = None
        self._thread: threading.Thread | None = None
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                lifespan="off",
                ws="none",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE_S,
                **server_options(self._tls),
            )
        )

    def start(self) -> None:
        """Bind and serve; once in the life of the object.

        Raises:
            ConfigError: the address is in use, not allowed, or not one of this machine.
        """
        bound = _bind(self._listen)
        self._address = bound.getsockname()[:2]
        # A daemon thread: an answer that hangs in the store must not keep the process from ending.
        self._thread = threading.Thread(
            target=self._server.run, args=([bound],), name="riskmon-http", daemon=True
        )
        self._thread.start()
        log.info("serving on %s", self.url, extra={"url": self.url})
        for risk in risks(self._auth, self._tls, self._address[0]):
            log.warning("%s", risk)

    def stop(self) -> None:
        """Finish the answers under way and close, within `STOP_TIMEOUT_S`; nothing to do when not running."""
        if self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(STOP_TIMEOUT_S)
        if self._thread.is_alive():
            log.warning("the HTTP server did not stop within %g s", STOP_TIMEOUT_S)

    @property
    def running(self) -> bool:
        """Whether the server's thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def address(self) -> tuple[str, int]:
        """The bound host and port; only after `start`."""
        if self._address is None:
            raise RuntimeError("the server has no address before it is started")
        return self._address

    @property
    def url(self) -> str:
        """Base address of the server, without a slash at its end; only after `start`."""
        host, port = self.address
        scheme = "http" if self._tls.certificate is None else "https"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def _bind(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if int(port) > 65535:
        raise ConfigError(f"publish.listen {listen}: the port must be from 0 to 65535")
    try:
        family = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, int(port)), family=family)
    except OSError as exc:
        raise ConfigError(f"publish.listen {listen} {_explain(exc)}") from exc


def _explain(exc: OSError) -> str:
    if isinstance(exc, socket.gaierror):
        return "names no host that can be resolved; give an address of this machine, such as 127.0.0.1"
    match exc.errno:
        case errno.EADDRINUSE:
            return "is in use; stop the other process, or choose another port (0 takes a free one)"
        case errno.EACCES:
            return "is not allowed to this user; choose a port above 1023"
        case errno.EADDRNOTAVAIL:
            return "is no address of this machine; 127.0.0.1 serves this machine, 0.0.0.0 serves all networks"
    return f"cannot be bound: {exc.strerror}"
