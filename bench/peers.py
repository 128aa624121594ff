"""The proxies that are measured: how each is started with one 1 KB header to add, and how a missing one is installed."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PEERS = HERE / ".peers"
"""Where `make bench-peers` puts what no package manager of the system has."""


@dataclass(frozen=True)
class Plan:
    """What a peer forwards to. `upstream` is a URL without a path; `folder` is for its files."""

    port: int
    upstream: str
    token: str
    ca_file: Path
    cognito_url: str
    folder: Path

    @property
    def authority(self) -> str:
        return self.upstream.partition("://")[2]

    @property
    def tls(self) -> bool:
        return self.upstream.startswith("https")


@dataclass(frozen=True)
class Command:
    argv: list[str]
    environment: dict[str, str]


@dataclass(frozen=True)
class Peer:
    name: str
    program: Callable[[], str | None]
    """The path of what it needs, None where that is missing."""
    install: str
    command: Callable[[Plan], Command]


def _python(plan: Plan, *argv: str, **environment: str) -> Command:
    return Command([sys.executable, *argv], {"PYTHONPATH": str(HERE.parent), **environment})


def _ul_proxy(plan: Plan, *flags: str) -> Command:
    return _python(
        plan,
        *("-m", "proxy", "serve", "--listen", f"127.0.0.1:{plan.port}", *flags),
        UL_PROXY_UPSTREAMS__REST=plan.upstream,
        UL_PROXY_UPSTREAMS__CA_FILE=str(plan.ca_file),
        UL_PROXY_COGNITO__ENDPOINT_URL=plan.cognito_url,
        UL_PROXY_USERNAME="bench@example.com",
        UL_PROXY_PASSWORD="bench",
    )


def _baseline(plan: Plan) -> Command:
    script = str(HERE / "baseline.py")
    return _python(plan, script, str(plan.port), UPSTREAM=plan.upstream, TOKEN=plan.token, CA_FILE=str(plan.ca_file))


def _nginx(plan: Plan, access_log: str = "off") -> Command:
    scheme = "https" if plan.tls else "http"
    config = f"""
daemon off; worker_processes 1; pid {plan.folder}/pid; error_log {plan.folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log {access_log}; keepalive_requests 1000000000; client_max_body_size 0; proxy_max_temp_file_size 0;
  client_body_temp_path {plan.folder}/body; proxy_temp_path {plan.folder}/temp;
  fastcgi_temp_path {plan.folder}/f; uwsgi_temp_path {plan.folder}/u; scgi_temp_path {plan.folder}/s;
  upstream origin {{ server {plan.authority}; keepalive 512; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{plan.port};
    location / {{
      proxy_pass {scheme}://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header X-Amz-Cognito-Security-Token "{plan.token}";
    }}
  }}
}}
"""
    path = plan.folder / "nginx.conf"
    path.write_text(config)
    return Command([_which("nginx"), "-c", str(path)], {})


def _haproxy(plan: Plan) -> Command:
    tls = f" ssl verify required ca-file {plan.ca_file} sni str(localhost)" if plan.tls else ""
    path = plan.folder / "haproxy.cfg"
    path.write_text(
        f"""
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 10s
  timeout client 300s
  timeout server 300s
frontend f
  bind 127.0.0.1:{plan.port}
  http-request set-header X-Amz-Cognito-Security-Token {plan.token}
  default_backend b
backend b
  http-reuse always
  server s {plan.authority}{tls}
"""
    )
    return Command([_which("haproxy"), "-f", str(path), "-db"], {})


def _caddy(plan: Plan) -> Command:
    tls = (
        f"transport http {{\n tls\n tls_trusted_ca_certs {plan.ca_file}\n tls_server_name localhost\n}}"
        if plan.tls
        else ""
    )
    path = plan.folder / "Caddyfile"
    path.write_text(
        f"""{{
  admin off
  auto_https off
}}
http://:{plan.port} {{
  bind 127.0.0.1
  reverse_proxy {plan.upstream} {{
    header_up X-Amz-Cognito-Security-Token {plan.token}
    {tls}
  }}
}}
"""
    )
    environment = {"GOMAXPROCS": "1", "HOME": str(plan.folder)}
    return Command([_which("caddy"), "run", "--config", str(path), "--adapter", "caddyfile"], environment)


def _http_proxy(plan: Plan) -> Command:
    script = f"""
const http = require('http'), https = require('https'), fs = require('fs');
const agent = new ({"https" if plan.tls else "http"}).Agent({{ keepAlive: true, ca: fs.readFileSync('{plan.ca_file}') }});
const proxy = require('http-proxy').createProxyServer({{ target: '{plan.upstream}', agent }});
proxy.on('error', (error, request, response) => response.destroy && response.destroy());
http.createServer((request, response) => {{
  request.headers['x-amz-cognito-security-token'] = '{plan.token}';
  proxy.web(request, response);
}}).listen({plan.port}, '127.0.0.1');
"""
    return Command([_which("node"), "-e", script], {"NODE_PATH": str(PEERS / "node_modules")})


def _mitmproxy(plan: Plan) -> Command:
    script = plan.folder / "add.py"
    script.write_text(
        f"def request(flow):\n    flow.request.headers['X-Amz-Cognito-Security-Token'] = {plan.token!r}\n"
    )
    argv = [_mitmdump() or "", "-q", "--mode", f"reverse:{plan.upstream}", "-s", str(script)]
    argv += ["--listen-host", "127.0.0.1", "--listen-port", str(plan.port)]
    argv += ["--set", f"ssl_verify_upstream_trusted_ca={plan.ca_file}", "--set", "stream_large_bodies=1m"]
    return Command([*argv, "--set", f"confdir={plan.folder}"], {})


def _which(name: str) -> str:
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin") or name


def _program(name: str) -> Callable[[], str | None]:
    return lambda: shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")


def _mitmdump() -> str | None:
    return shutil.which("mitmdump") or shutil.which(str(PEERS / "mitmproxy" / "bin" / "mitmdump"))


def _node_http_proxy() -> str | None:
    found = PEERS / "node_modules" / "http-proxy"
    return str(found) if found.exists() and shutil.which("node") else None


OURS = "ul-proxy"
BASELINE = "ClientSession"
NGINX = "nginx"
NGINX_LOGGING = "nginx, access log"
HAPROXY = "HAProxy"
CADDY = "Caddy, one core"

ALL = (
    Peer(OURS, lambda: sys.executable, "", _ul_proxy),
    Peer("ul-proxy, no access log", lambda: sys.executable, "", lambda plan: _ul_proxy(plan, "--no-access-log")),
    Peer(BASELINE, lambda: sys.executable, "", _baseline),
    Peer(NGINX, _program("nginx"), "apt-get install nginx-light", _nginx),
    Peer(
        NGINX_LOGGING,
        _program("nginx"),
        "apt-get install nginx-light",
        lambda plan: _nginx(plan, "/dev/stdout combined"),
    ),
    Peer(HAPROXY, _program("haproxy"), "apt-get install haproxy", _haproxy),
    Peer(CADDY, _program("caddy"), "apt-get install caddy", _caddy),
    Peer("Node http-proxy", _node_http_proxy, "make bench-peers", _http_proxy),
    Peer("mitmproxy", _mitmdump, "make bench-peers", _mitmproxy),
)
