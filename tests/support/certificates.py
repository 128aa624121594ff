"""Certificates for upstreams on loopback, made when a test asks for them."""

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority; `file` holds its certificate."""

    file: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def issue(self, file: Path, *names: str, valid_in_days: tuple[int, int] = (-10, 1)) -> Path:
        """Write a new certificate for `names`, and its key, into `file`; returns it. It is valid from then to then."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName([_name(name) for name in names])
        now = datetime.datetime.now(datetime.UTC)
        begins, ends = (now + days * _DAY for days in valid_in_days)
        certificate = (
            _builder("server", key, begins, ends)
            .issuer_name(self.certificate.subject)
            .add_extension(alternatives, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        file.write_bytes(_pem(certificate) + _key_pem(key))
        file.chmod(0o600)
        return file

    def server(
        self, *names: str, valid_in_days: tuple[int, int] = (-10, 1), chosen: list[str | None] | None = None
    ) -> ssl.SSLContext:
        """What a server with a certificate for `names` needs; `chosen` hears the names that clients ask for."""
        file = self.issue(
            self.file.with_name(f"{'-'.join(names).replace(':', '_')}{valid_in_days[1]}.pem"),
            *names,
            valid_in_days=valid_in_days,
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        context.set_alpn_protocols(["h2", "http/1.1"])
        if chosen is not None:
            context.sni_callback = lambda _sock, name, _context: chosen.append(name)
        return context


def authority(folder: Path, name: str = "authority") -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    builder = _builder(name, key, now - 10 * _DAY, now + 10 * _DAY)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        builder.issuer_name(_subject(name))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    file.write_bytes(_pem(certificate))
    return Authority(file, certificate, key)


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    name: str, key: ec.EllipticCurvePrivateKey, begins: datetime.datetime, ends: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
