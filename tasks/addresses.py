"""Where the servers are, and where they keep what they know. In: the environment. Out: addresses and settings.

    R1_MLFLOW_PORT, R1_PREFECT_PORT    ports of the servers started here, on loopback (5000, 4200)
    R1_MLFLOW_URL, R1_PREFECT_URL      a server that runs elsewhere: none is started here
    R1_MLFLOW_DB, R1_PREFECT_DB        postgresql://USER:PASSWORD@HOST/NAME for those started here (a file each)
    R1_MLFLOW_ARTIFACTS                s3://BUCKET/PREFIX for MLflow's artifacts (mlartifacts/)
    R1_POOL                            the work pool of the worker started here (r1-local)

docs/servers.md shows them at work. A password reaches the server that needs it, and no flow run.
"""

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from tasks.processes import child_environment

HOST = "127.0.0.1"
DATABASES = ("R1_MLFLOW_DB", "R1_PREFECT_DB")
CONNECT_SECONDS = 2.0


class ServiceError(RuntimeError):
    """A server cannot be used; the message says why and what to do."""


def port(variable: str, default: int) -> int:
    """Port number in the environment variable, or the default.

    Raises:
        ServiceError: it is not a number from 1024 to 65535.
    """
    value = os.environ.get(variable, str(default))
    if not value.isdecimal() or not 1024 <= int(value) <= 65535:
        raise ServiceError(f"{variable}={value!r} is no port: a number from 1024 to 65535 is needed")
    return int(value)


def elsewhere(variable: str) -> str | None:
    """Address of a server that is not started here, without a slash at its end; None if there is none.

    Raises:
        ServiceError: it is no http address.
    """
    value = os.environ.get(variable, "").rstrip("/")
    if value and not value.startswith(("http://", "https://")):
        raise ServiceError(f"{variable}={value!r} is no address: http://HOST:PORT is needed")
    return value or None


def mlflow_url() -> str:
    """Address of the MLflow server."""
    return elsewhere("R1_MLFLOW_URL") or f"http://{HOST}:{port('R1_MLFLOW_PORT', 5000)}"


def prefect_url() -> str:
    """Address of the Prefect server (its API is below /api)."""
    return elsewhere("R1_PREFECT_URL") or f"http://{HOST}:{port('R1_PREFECT_PORT', 4200)}"


def pool() -> str:
    """Name of the work pool."""
    return os.environ.get("R1_POOL") or "r1-local"


def database(variable: str, driver: str) -> str | None:
    """The PostgreSQL address in the environment variable, with ``driver`` named in it; None if it is not set.

    Raises:
        ServiceError: it is no such address. The message does not show it: it may hold a password.
    """
    value = os.environ.get(variable)
    if not value:
        return None
    scheme, mark, rest = value.partition("://")
    if scheme not in ("postgresql", f"postgresql+{driver}") or not mark:
        raise ServiceError(f"{variable} begins with {scheme!r}: postgresql://USER:PASSWORD@HOST/NAME is needed")
    return f"postgresql+{driver}://{rest}"


def check_databases() -> None:
    """Pass if a server listens wherever a database is said to be: MLflow would try for two minutes before it says so.

    Raises:
        ServiceError: one does not.
    """
    for variable in DATABASES:
        place = urlsplit(os.environ.get(variable, ""))
        if place.hostname is None:
            continue
        host, number = place.hostname, place.port or 5432
        try:
            socket.create_connection((host, number), timeout=CONNECT_SECONDS).close()
        except OSError as error:
            raise ServiceError(
                f"{variable}: nothing listens at {host}:{number} ({error}). Start PostgreSQL there, or unset {variable}"
            ) from error


def mlflow_store(root: Path) -> dict[str, str]:
    """Environment that tells an MLflow server its store: a password among its arguments would be seen by everybody."""
    return {
        "MLFLOW_BACKEND_STORE_URI": database("R1_MLFLOW_DB", "psycopg") or f"sqlite:///{root}/mlflow.db",
        "MLFLOW_ARTIFACTS_DESTINATION": os.environ.get("R1_MLFLOW_ARTIFACTS") or f"{root}/mlartifacts",
    }


def prefect_store() -> dict[str, str]:
    """Environment that tells a Prefect server its database; empty for the file in .prefect/."""
    url = database("R1_PREFECT_DB", "asyncpg")
    return {"PREFECT_SERVER_DATABASE_CONNECTION_URL": url} if url else {}


def services_environment(root: Path) -> dict[str, str]:
    """Environment of the servers and of every flow run the worker starts."""
    environment = child_environment(
        {
            "PREFECT_HOME": str(root / ".prefect"),
            "PREFECT_API_URL": f"{prefect_url()}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "MLFLOW_TRACKING_URI": mlflow_url(),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # saves 8 processes and 0.5 GB
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), HOST, "localhost"])),
        }
    )
    return {name: value for name, value in environment.items() if name not in DATABASES}
