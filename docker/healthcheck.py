"""Say whether a farm in a container is well: exit 0, or 1 where its event loop has not run for long.

Where no metrics are served (FARM_METRICS_PORT is not set), nothing is asked, and all is well.
"""  # noqa: INP001

import http.client
import os
import sys

TIMEOUT_S = 5


def is_well(port: str) -> bool:
    """Return whether the farm that serves its metrics at this port of loopback says so."""
    asked = http.client.HTTPConnection("127.0.0.1", int(port), timeout=TIMEOUT_S)
    try:
        asked.request("GET", "/healthz")
        return asked.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        asked.close()


if __name__ == "__main__":
    port = os.environ.get("FARM_METRICS_PORT", "")
    sys.exit(0 if not port or is_well(port) else 1)
