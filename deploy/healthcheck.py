"""Whether the daemon of this container lives, for Docker's HEALTHCHECK: exits 0 where `/healthz` answers 200, else 1.

`HEALTH_URL` names another address, such as https://127.0.0.1:9108/healthz with `publish.tls`. The certificate is not
checked: this is the container's own loopback address, which no certificate names. With `publish.tls.client_ca` nobody
connects without a certificate, so there switch this check off. Standard library only: it runs every half minute.
"""

from __future__ import annotations

import os
import ssl
import sys
import urllib.request

DEFAULT_URL = "http://127.0.0.1:9108/healthz"
_TIMEOUT_S = 5.0


def lives(url: str) -> bool:
    """Whether `url` answers 200."""
    unchecked = ssl.create_default_context()
    unchecked.check_hostname = False
    unchecked.verify_mode = ssl.CERT_NONE
    # No proxy, whatever the environment says: it is this very container that is asked.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=unchecked)
    )
    try:
        with opener.open(url, timeout=_TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except OSError:  # also what urllib raises for 503, and for nobody there
        return False


if __name__ == "__main__":
    sys.exit(0 if lives(os.environ.get("HEALTH_URL", DEFAULT_URL)) else 1)
