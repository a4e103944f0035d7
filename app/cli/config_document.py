"""The configuration's text, of this machine's file or of a gateway somewhere: read, changed, written back."""

from __future__ import annotations

from typing import Any, Protocol

from app.cli.address import Address
from app.cli.failures import RequestFailed
from app.config import ConfigError, Environment, Fault, hash_of, read_environment, redacted, write
from app.config.loading import read_text


class Document(Protocol):
    """place: where it is. text: None when there is none."""

    place: str
    text: str | None

    def save(self, text: str) -> None:
        """Put another text in its place. Raises ConfigError for a bad one, StaleConfig, OSError, NoGateway."""

    def without_secrets(self) -> str | None:
        """The text to show. Raises ConfigError when it is none that can be read."""


class FileDocument:
    """The file that a gateway of this machine reads. Raises ConfigError when it can't be read."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.place = str(environment.config_path)
        self.text = read_text(environment)

    def save(self, text: str) -> None:
        write(self._environment, text, hash_of(self.text))

    def without_secrets(self) -> str | None:
        return None if self.text is None else redacted(self.text)


class GatewayDocument:
    """What a gateway has, with its secrets redacted; where they still are when it is saved, the gateway keeps them."""

    def __init__(self, address: Address) -> None:
        self._address = address
        with address.connect() as client:
            self.said: dict[str, Any] = client.request("config.get")
        self.place = self.said["path"]
        self.text: str | None = self.said["raw"]

    def save(self, text: str) -> None:
        if not self.said["valid"] and not self.said["parsed"]:
            # Of a file that can't be read nothing is shown, and what was made of nothing must not take its place.
            raise ConfigError(*(Fault(each["path"], each["message"]) for each in self.said["issues"]))
        with self._address.connect() as client:
            try:
                client.request("config.set", {"raw": text, "baseHash": self.said["hash"]})
            except RequestFailed as error:
                raise ConfigError(Fault(client.url, error.message)) from None

    def without_secrets(self) -> str | None:
        return self.text


def document_of(address: Address) -> Document:
    """Raises ConfigError when the file can't be read, and click's exceptions."""
    return GatewayDocument(address) if address.url else FileDocument(read_environment())
