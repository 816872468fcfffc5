"""Certificates made for a test, and spoilt."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass
class Papers:
    """An authority, and what it certifies for 127.0.0.1, as files."""

    authority: trustme.CA
    directory: Path

    @property
    def ca(self) -> str:
        path = self.directory / "ca.pem"
        self.authority.cert_pem.write_to_path(path)
        return str(path)

    def issue(self, name: str = "127.0.0.1") -> tuple[str, str]:
        """Write a new certificate and its key; return their paths."""
        issued = self.authority.issue_cert(name)
        certificate, key = self.directory / f"{name}.crt", self.directory / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
        return str(certificate), str(key)

    def issue_in_one(self, name: str) -> str:
        """Write a new certificate and its key into one file; return its path."""
        certificate, key = map(Path, self.issue(name))
        certificate.write_bytes(certificate.read_bytes() + key.read_bytes())
        return str(certificate)

    def server(self, name: str = "127.0.0.1", *, asks_clients: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(name).configure_cert(context)
        if asks_clients:
            context.verify_mode = ssl.CERT_REQUIRED
            self.authority.configure_trust(context)
        return context

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca)


def spoil(path: str) -> None:
    Path(path).write_text("nonsense")
