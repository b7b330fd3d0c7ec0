"""The nginx.conf of docs/examples.md before three workers, with a certificate of the test's own."""

import datetime
import ipaddress
import json
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from uuid import uuid4

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.sync.client import connect

from tests.docs.document import examples, put
from tests.streaming.stage import DEADLINE_S, SETTINGS
from tests.support.server import ServerProcess, free_port
from tests.support.sse import EventStreamParser, Follower
from tests.support.waiting import wait_until

NAME = "llm.example.com"
HEADERS = {"Authorization": "Bearer a-long-secret", "Host": NAME}
(WORKERS,) = examples("Behind nginx")["sh"]
(CONF,) = examples("Behind nginx")["nginx"]
ADDRESSES = [f"127.0.0.1:{port}" for port in (8001, 8002, 8003)]
SLOW = {"demo": {"tokens": 150, "tokens_per_s": 50}}


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    alternatives = [x509.DNSName(NAME), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, secret = directory / "cert.pem", directory / "key.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    return chain, secret


@dataclass
class Nginx:
    """A running nginx."""

    port: int
    certificate: Path

    @property
    def tls(self) -> ssl.SSLContext:
        """What trusts it."""
        return ssl.create_default_context(cafile=self.certificate)

    def client(self) -> httpx2.Client:
        """A caller, over HTTP/1.1."""
        url = f"https://127.0.0.1:{self.port}"
        return httpx2.Client(base_url=url, headers=HEADERS, verify=self.tls, timeout=DEADLINE_S, trust_env=False)

    def curl(self, path: str, *args: str) -> "subprocess.Popen[str]":
        """A caller over HTTP/2, which says so at last."""
        to = f"{NAME}:443:127.0.0.1:{self.port}"
        command = ["curl", "-sSN", "--http2", "--cacert", str(self.certificate), "--connect-to", to, *args]
        command += [
            "-H",
            f"Authorization: {HEADERS['Authorization']}",
            "-w",
            "HTTP/%{http_version}",
            f"https://{NAME}{path}",
        ]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@contextmanager
def nginx_before(directory: Path, upstreams: Sequence[int]) -> Iterator[Nginx]:
    """nginx with the page's configuration, before what listens on these ports."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None or shutil.which("curl") is None:
        pytest.skip("there is no nginx, or no curl, on the PATH: run make test-browser as root, or install them")
    directory.mkdir()
    certificate, key = make_certificate(directory)
    port = free_port()
    temporary = "".join(
        f"    {kind}_temp_path {directory};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    changes = {
        "/run/nginx.pid": f"{directory}/nginx.pid",
        "/var/log/nginx/error.log": f"{directory}/error.log",
        "http {\n": f"http {{\n{temporary}",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{port} ssl http2;",
        "/etc/ssl/certs/llm.example.com.pem": str(certificate),
        "/etc/ssl/private/llm.example.com.key": str(key),
        **dict(zip(ADDRESSES, (f"127.0.0.1:{upstream}" for upstream in upstreams), strict=True)),
    }
    conf, log = directory / "nginx.conf", directory / "error.log"
    conf.write_text(put(CONF, changes))
    process = subprocess.Popen([program, "-p", directory, "-e", log, "-c", conf, "-g", "daemon off;"])
    try:
        wait_until(lambda: process.poll() is not None or _listens(port), what="nginx listens")
        assert process.poll() is None, log.read_text()
        yield Nginx(port, certificate)
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def workers(tmp_path: Path, redis_url: str) -> Iterator[list[ServerProcess]]:
    """Three of them, as the page has them."""
    lines = put(WORKERS, {"redis://127.0.0.1:6379/0": redis_url, "export ": ""})
    told = dict(word.split("=", 1) for word in lines.split() if word.startswith("HEADWATER_"))
    settings = SETTINGS | {"redis_prefix": f"test-{uuid4().hex}", "drain_s": 0}
    with ExitStack() as stack:
        yield [
            stack.enter_context(ServerProcess(tmp_path, store=told["HEADWATER_STORE"], settings=settings, env=told))
            for _ in ADDRESSES
        ]


@pytest.fixture
def nginx(tmp_path: Path, workers: list[ServerProcess]) -> Iterator[Nginx]:
    """Before the workers."""
    with nginx_before(tmp_path / "nginx", [worker.port for worker in workers]) as nginx:
        yield nginx


def test_answers_come_over_http2_token_by_token(nginx: Nginx) -> None:
    with nginx.client() as http:
        run = http.post("/v1/runs", json={"input": "What is a run?", "extra": SLOW}).json()
        with nginx.curl(run["events_url"]) as curl:
            assert curl.stdout is not None
            heard = ""
            while "event: delta" not in heard:
                heard += curl.stdout.readline()
            assert http.get(run["url"]).json()["status"] == "in_progress"
            heard += curl.stdout.read()
        stream, _, version = heard.rpartition("HTTP/")
        assert version == "2"
        follower = Follower()
        for message in EventStreamParser().feed(stream.encode()):
            follower.take(message)
        assert follower.text == http.get(run["url"]).json()["output"]


def test_a_read_is_served_by_another_worker_where_one_is_gone(nginx: Nginx, workers: list[ServerProcess]) -> None:
    with nginx.client() as http:
        started = httpx2.post(
            f"{workers[0].url}/v1/runs",
            headers=HEADERS,
            json={"input": "What is a run?", "extra": SLOW},
            trust_env=False,
        )
        run = started.json()
        follower, parser = Follower(), EventStreamParser()
        while follower.end is None:
            parser.reset()
            follower.connected()
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": parser.last_id} if parser.last_id else {})}
            try:
                with http.stream("GET", run["events_url"], headers=headers) as response:
                    assert response.status_code == 200
                    for piece in response.iter_raw():
                        for message in parser.feed(piece):
                            follower.take(message)
                        if follower.deltas > 10:
                            for worker in workers[1:]:
                                worker.kill()
            except httpx2.TransportError:
                pass
        for _ in range(6):
            with nginx.client() as newcomer:
                assert newcomer.get(run["url"]).json()["output"] == follower.text
    assert follower.end["status"] == "completed"


def test_people_talk_through_it(nginx: Nginx) -> None:
    address = f"wss://127.0.0.1:{nginx.port}/v1/rooms/lobby/ws"
    headers = {"Authorization": HEADERS["Authorization"]}
    with connect(address, ssl=nginx.tls, additional_headers=headers, proxy=None, server_hostname=NAME) as room:
        room.send('{"type": "join", "name": "Ann"}')
        room.send('{"type": "message", "client_id": "1", "text": "Is anybody there?", "ref": "1"}')
        while (push := json.loads(room.recv(DEADLINE_S))).get("ref") != "1":
            pass
        assert push["type"] == "ok"


def test_a_post_that_a_worker_may_have_seen_is_not_sent_again(tmp_path: Path, workers: list[ServerProcess]) -> None:
    with _dying_worker() as (port, heard):
        upstreams = [port, workers[0].port, workers[1].port]
        with nginx_before(tmp_path / "nginx", upstreams) as nginx, nginx.client() as http:
            lost = http.post("/v1/runs", json={"input": "What is a run?"})
            assert lost.status_code == 502
            assert [request.split()[0] for request in heard] == [b"POST"]
        direct = httpx2.get(f"{workers[0].url}/v1/runs", headers=HEADERS, trust_env=False)
        assert direct.json()["data"] == [], "nobody else got it"
        with nginx_before(tmp_path / "again", upstreams) as nginx, nginx.client() as http:
            assert http.get("/v1/runs").status_code == 200
            assert [request.split()[0] for request in heard] == [b"POST", b"GET"]


@contextmanager
def _dying_worker() -> Iterator[tuple[int, list[bytes]]]:
    """The port of one that takes each request and is gone, and what it was asked."""
    heard: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                heard.append(connection.recv(65_536))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], heard
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
