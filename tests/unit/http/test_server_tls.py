"""The files of HTTPS: what can be used, and what is said of the rest."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from support.certificates import Authority, authority

from proxy.errors import SettingsError
from proxy.http.options import CertificateFiles
from proxy.http.server.tls import CallerTls


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def both(signer: Authority, tmp_path: Path) -> Path:
    """A certificate and its key in one file."""
    return signer.issue(tmp_path / "both.pem", "localhost")


def apart(both: Path) -> CertificateFiles:
    """The same in two files."""
    certificate, key = both.with_name("cert.pem"), both.with_name("key.pem")
    head, begin, rest = both.read_text().partition("-----BEGIN PRIVATE KEY-----")
    certificate.write_text(head)
    key.write_text(begin + rest)
    return CertificateFiles(certificate, key)


def complaint(files: CertificateFiles) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        CallerTls(files)
    return caught.value


def test_one_file_or_two(both: Path) -> None:
    """The key may be in the certificate's file or in one of its own."""
    CallerTls(CertificateFiles(both, both))
    CallerTls(apart(both))


@pytest.mark.parametrize("name", ["tls_cert", "tls_key"])
def test_missing(name: str, both: Path) -> None:
    """A file that is not there is named together with its setting."""
    lost = both.with_name("lost.pem")
    error = complaint(CertificateFiles(lost, both) if name == "tls_cert" else CertificateFiles(both, lost))
    assert error.detail == f"{name}: {lost} cannot be read: No such file or directory"
    assert error.hint


def test_no_path_at_all(both: Path) -> None:
    """A path that no system takes is trouble like any other."""
    assert "cannot be read: embedded null" in complaint(CertificateFiles(Path("a\0b"), both)).detail


def test_no_certificate(both: Path) -> None:
    """A file without a certificate is no certificate's file."""
    files = apart(both)
    assert (
        complaint(CertificateFiles(files.key, files.key)).detail == f"tls_cert: {files.key} holds no certificate in PEM"
    )


def test_no_key(both: Path) -> None:
    """A certificate alone is not enough, and the hint says where the key may be."""
    files = apart(both)
    error = complaint(CertificateFiles(files.certificate, files.certificate))
    assert error.detail == f"tls_key: {files.certificate} holds no private key in PEM"
    assert "Name the file with the key" in error.hint


def test_the_key_of_another(both: Path, signer: Authority) -> None:
    """The error of a key that is not the certificate's differs from that of one that cannot be read."""
    other = signer.issue(both.with_name("other.pem"), "localhost")
    error = complaint(CertificateFiles(both, other))
    assert error.detail == f"tls_key: {other} is not the key of the certificate in {both}"


FORMS = {"PKCS 8": serialization.PrivateFormat.PKCS8, "OpenSSL": serialization.PrivateFormat.TraditionalOpenSSL}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_encrypted_key(form: serialization.PrivateFormat, both: Path) -> None:
    """A passphrase is not asked for: the error says how to do without one."""
    files = apart(both)
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"secret")
    locked = both.with_name("locked.pem")
    locked.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))
    error = complaint(CertificateFiles(files.certificate, locked))
    assert error.detail == f"tls_key: the key in {locked} is encrypted, and its passphrase is not asked for"
    assert f"openssl pkey -in {locked}" in error.hint


def test_nonsense(both: Path) -> None:
    """What looks like a certificate and is none is said to be so, without a traceback."""
    first, _, rest = both.read_text().split("\n", 2)
    broken = both.with_name("broken.pem")
    broken.write_text(f"{first}\nAAAA\n{rest}")
    error = complaint(CertificateFiles(broken, broken))
    assert error.detail.startswith(f"tls_cert: {broken} and its key cannot be used: ")


def test_what_cannot_be_used_changes_nothing(both: Path, signer: Authority) -> None:
    """New files that do not belong together leave the old ones in use."""
    tls = CallerTls(CertificateFiles(both, both))
    other = signer.issue(both.with_name("other.pem"), "localhost")
    with pytest.raises(SettingsError, match="is not the key"):
        tls.load(CertificateFiles(both, other))
    tls.load(CertificateFiles(other, other))
