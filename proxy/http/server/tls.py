"""Set up HTTPS for callers: a certificate and its key, which may be replaced while connections go on."""

import re
import ssl
from pathlib import Path

from proxy.errors import SettingsError
from proxy.http.options import CertificateFiles

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")
_ENCRYPTED = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED", re.MULTILINE)
_MISMATCH = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH")


class CallerTls:
    """Makes the TLS context of listeners, TLS 1.2 and above."""

    def __init__(self, files: CertificateFiles) -> None:
        """Load the files; raises SettingsError where they cannot be used."""
        self.context = self._current = _context(files)
        self.context.sni_callback = self._choose

    def load(self, files: CertificateFiles) -> None:
        """Show from the next handshake on what `files` hold now; raises SettingsError, and goes on as before."""
        self._current = _context(files)

    def _choose(self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Choose the certificate: called at the beginning of every handshake, also where the caller names no host."""
        connection.context = self._current


def _context(files: CertificateFiles) -> ssl.SSLContext:
    if _CERTIFICATE not in _read("tls_cert", files.certificate):
        raise SettingsError(
            f"tls_cert: {files.certificate} holds no certificate in PEM",
            hint="Name a file that begins with -----BEGIN CERTIFICATE-----.",
        )
    _check_key(files)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(files.certificate, files.key, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason in _MISMATCH:
            raise SettingsError(
                f"tls_key: {files.key} is not the key of the certificate in {files.certificate}",
                hint="Name the two files that were made together; the server's certificate comes first in its file.",
            ) from None
        reason = (error.reason or "OpenSSL does not say why").replace("_", " ").lower()
        raise SettingsError(
            f"tls_cert: {files.certificate} and its key cannot be used: {reason}", hint="Make them anew."
        ) from None
    return context


def _check_key(files: CertificateFiles) -> None:
    """Check the key before OpenSSL does, which asks for a passphrase on the terminal and words its errors badly."""
    pem = _read("tls_key", files.key)
    if _ENCRYPTED.search(pem):
        raise SettingsError(
            f"tls_key: the key in {files.key} is encrypted, and its passphrase is not asked for",
            hint=f"Decrypt it into a file of mode 0600: openssl pkey -in {files.key} -out FILE.",
        )
    if not _KEY.search(pem):
        raise SettingsError(
            f"tls_key: {files.key} holds no private key in PEM",
            hint="Name the file with the key, or put the key into the file of the certificate.",
        )


def _read(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # a ValueError is about a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(
            f"{setting}: {path} cannot be read: {reason}", hint="Check the path and its permissions."
        ) from None
