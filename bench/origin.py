"""The origin: nginx with a small JSON answer and large files, plain and over TLS."""

import datetime
import subprocess
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ANSWER = b'{"x":"' + b"a" * 392 + b'"}'
"""400 bytes of JSON."""
GIB = 1 << 30


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for localhost and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "origin.pem", folder / "origin.key"
    certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


def start(nginx: str, folder: Path, port: int, tls_port: int) -> subprocess.Popen[bytes]:
    """`/v1/job` answers 400 bytes of JSON; `/v1/gib` and `/v1/50mb` are files of that size."""
    certificate_file, key_file = folder / "origin.pem", folder / "origin.key"
    for name, size in (("gib", GIB), ("50mb", 50 << 20)):
        with (folder / name).open("wb") as file:
            file.truncate(size)
        with (folder / name).open("rb") as file:
            # Whoever comes first must not pay for filling the page cache.
            while file.read(1 << 20):
                pass
    body = ANSWER.decode().replace('"', '\\"')
    config = f"""
daemon off; worker_processes 1; pid {folder}/origin.pid; error_log {folder}/origin.log;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; sendfile on; client_max_body_size 0;
  client_body_temp_path {folder}/ob; proxy_temp_path {folder}/op;
  fastcgi_temp_path {folder}/of; uwsgi_temp_path {folder}/ou; scgi_temp_path {folder}/os;
  server {{
    listen 127.0.0.1:{port}; listen 127.0.0.1:{tls_port} ssl;
    ssl_certificate {certificate_file}; ssl_certificate_key {key_file};
    location = /v1/job {{ default_type application/json; return 200 "{body}"; }}
    location = /v1/gib {{ alias {folder}/gib; }}
    location = /v1/50mb {{ alias {folder}/50mb; }}
  }}
}}
"""
    path = folder / "origin.conf"
    path.write_text(config)
    return subprocess.Popen([nginx, "-c", str(path)])
