#!/usr/bin/python3
"""HTTPS with certificates made by openssl (a CA and localhost). Clients of three libraries, and clients that
break a handshake, stop in the middle of one, or do not use TLS."""
import http.client
import itertools
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

from elmod import PATIENCE_S, Elmod, clean_environment, wait_until

BINARY = os.environ["ELMOD_FAKE_BINARY"]  # its model takes no time
TEXT = {"inputs": "A gripping film."}
LARGE = {  # an answer of megabytes; it needs FLAGS
    "inputs": ["a b " * 30] * 1000,
    "outputs": ["word_emb", "lstm_outputs1", "lstm_outputs2", "elmo"],
}
FLAGS = ("--max-request-tokens", 65536)
JSON = {"Content-Type": "application/json"}


def run(*command, check=True, **options):
    """Runs the command and returns its output as bytes. elmod must not see the variables of the tests."""
    options = {"input": b"", "env": clean_environment(), "timeout": PATIENCE_S, **options}
    return subprocess.run(command, check=check, capture_output=True, **options)


class Authority:
    """A CA in a folder. Its certificate is the file `ca`."""

    def __init__(self, folder, name="Test CA"):
        self.folder = pathlib.Path(folder)
        self.name = name
        self.key, self.ca = self.file(name + ".key"), self.file(name + ".pem")
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-keyout", self.key, "-out", self.ca, "-days", "2", "-subj", f"/CN={name}")

    def file(self, name):
        return self.folder / name.replace(" ", "-")

    def certify(self, name, kind=("ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
        """(certificate for localhost followed by the CA's, its key), as files."""
        request, names = self.file(name + ".csr"), self.file(name + ".ext")
        certificate, key = self.file(name + ".pem"), self.file(name + ".key")
        names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n", encoding="ascii")
        run("openssl", "req", "-newkey", *kind, "-nodes", "-keyout", key, "-out", request,
            "-subj", f"/CN={name}")
        run("openssl", "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.key,
            "-CAcreateserial", "-days", "2", "-extfile", names, "-out", certificate)
        with certificate.open("ab") as chain:
            chain.write(self.ca.read_bytes())
        return certificate, key


class SecureElmod(Elmod):
    """An elmod with TLS, and a client that trusts only the CA."""

    def __init__(self, authority, certificate, key, *flags):
        self.context = ssl.create_default_context(cafile=authority.ca)
        super().__init__(BINARY, "--tls-cert", certificate, "--tls-key", key, *FLAGS, *flags)

    def connect(self):
        return http.client.HTTPSConnection(
            "localhost", self.port, timeout=PATIENCE_S, context=self.context
        )

    def socket(self):
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)

    def secure_socket(self):
        return self.context.wrap_socket(self.socket(), server_hostname="localhost")

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text("ascii").split()
        return sum(map(int, fields[13:15])) / os.sysconf("SC_CLK_TCK")


class HttpsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.authority = Authority(cls.folder)
        cls.pair = cls.authority.certify("server")

    def assert_closed(self, connection):
        """The server closes the connection without sending a byte."""
        try:
            self.assertEqual(b"", connection.recv(1))
        except ConnectionResetError:
            pass


class Clients(HttpsTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        flags = ("--max-body-bytes", 200000, "--header-timeout-ms", 2000)
        cls.elmod = cls.enterClassContext(SecureElmod(cls.authority, *cls.pair, *flags))

    def s_client(self, *options, **more):
        address = f"localhost:{self.elmod.port}"
        return run("openssl", "s_client", "-connect", address, *options, **more)

    def test_python_sends_many_requests_on_one_connection(self):
        connection = self.elmod.connect()
        answers = [
            self.elmod.ask("POST", "/embed", TEXT, connection=connection).json()["data"]
            for _ in range(5)
        ]
        self.assertEqual([answers[0]] * 5, answers)
        connection.close()

    def test_pipelined_requests_are_answered_in_order(self):
        with self.elmod.secure_socket() as connection:
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
            received = b""
            while received.count(b'{"status":"alive"}') < 20:
                received += connection.recv(65536)
        self.assertEqual(20, received.count(b"HTTP/1.1 200 OK\r\n"))

    def test_a_large_answer_is_the_same_as_in_plain_http(self):
        with Elmod(BINARY, *FLAGS) as plain:
            expected = plain.ask("POST", "/embed", LARGE).body
        self.assertGreater(len(expected), 2000000)
        answer = self.elmod.ask("POST", "/embed", LARGE)
        self.assertEqual("chunked", answer.headers["Transfer-Encoding"])
        self.assertEqual(expected, answer.body)

    def test_a_large_body_arrives(self):
        body = {"inputs": ["a " * 1000] * 90}
        answer = self.elmod.ask("POST", "/tokenize", body)
        self.assertEqual((413, "too_many_tokens"), (answer.status, answer.json()["code"]))
        answer = self.elmod.ask("POST", "/tokenize", {"inputs": ["a " * 1000] * 10})
        self.assertEqual(10000, answer.json()["usage"]["tokens"])

    def test_too_many_chunks_are_answered_in_tls(self):
        """The answer is not that of libmicrohttpd, and nothing else is sent."""
        with self.elmod.secure_socket() as connection:
            connection.sendall(
                b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n30d41\r\n" + b"a" * 200001
            )
            received = b""
            while piece := connection.recv(65536):
                received += piece
        self.assertTrue(received.startswith(b"HTTP/1.1 413 "), received[:200])
        self.assertIn(b'"code":"body_too_large"', received)
        head, _, body = received.partition(b"\r\n\r\n")
        self.assertIn(f"Content-Length: {len(body)}\r\n".encode(), head)

    def test_a_uri_may_name_the_scheme(self):
        with self.elmod.secure_socket() as connection:
            connection.sendall(b"GET https://localhost/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertTrue(connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n"))

    def test_openssl_verifies_the_certificate(self):
        for version, name in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
            done = self.s_client(version, "-brief", "-verify_return_error", "-verify_hostname",
                                 "localhost", "-CAfile", self.authority.ca)
            text = (done.stdout + done.stderr).decode()
            self.assertIn("Verification: OK", text)
            self.assertIn(f"Protocol version: {name}", text)

    def test_openssl_refuses_it_without_its_ca(self):
        other = Authority(self.folder, "Other CA")
        done = self.s_client("-brief", "-verify_return_error", "-CAfile", other.ca, check=False)
        self.assertNotEqual(0, done.returncode)

    def test_older_versions_and_weak_keys_are_refused(self):
        for options in (("-tls1_1",), ("-tls1",), ("-tls1_2", "-cipher", "kRSA:@SECLEVEL=0")):
            with self.subTest(options):
                self.assertNotEqual(0, self.s_client(*options, check=False).returncode)

    @unittest.skipUnless(shutil.which("curl"), "no curl here")
    def test_curl_is_answered(self):
        url = f"https://localhost:{self.elmod.port}"
        done = run("curl", "-sS", "--cacert", self.authority.ca, "-d", '{"inputs":"a b"}',
                   "-H", "Content-Type: application/json", url + "/tokenize")
        self.assertIn(b'"tokens":["a","b"]', done.stdout)

    def test_health_check_uses_tls(self):
        address = f"0.0.0.0:{self.elmod.port}"
        ask = [BINARY, "--health-check", "--listen", address]
        pair = ["--tls-cert", self.pair[0], "--tls-key", self.pair[1]]
        self.assertEqual(0, run(*ask, *pair, check=False).returncode)
        self.assertEqual(1, run(*ask, check=False).returncode)
        with Elmod(BINARY) as other:
            ask = [BINARY, "--health-check", "--listen", f"127.0.0.1:{other.port}", *pair]
            wrong = run(*ask, check=False)
        self.assertEqual(1, wrong.returncode)
        self.assertIn(b"not healthy: TLS: ", wrong.stderr)

    def test_a_client_without_tls_gets_no_byte(self):
        with self.elmod.socket() as connection:
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assert_closed(connection)

    def test_garbage_breaks_nothing(self):
        """Before the handshake, in the middle of it, and after it."""
        for garbage in (b"\x00" * 1000, b"\xff" * 1000, b"\x16\x03\x01\x02\x00\x01" + b"x" * 600,
                        b"\x15\x03\x01\x00\x02\x02\x28", b"\x17\x03\x03\x00\x05hello"):
            with self.elmod.socket() as connection:
                connection.sendall(garbage)
                try:
                    while connection.recv(1000):
                        pass
                except ConnectionResetError:
                    pass
        with self.elmod.secure_socket() as secure:
            raw = socket.socket(fileno=os.dup(secure.fileno()))
            with raw:
                raw.settimeout(PATIENCE_S)
                raw.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
                try:
                    while raw.recv(1000):
                        pass
                except ConnectionResetError:
                    pass
        self.assertEqual(200, self.elmod.ask("GET", "/health/ready").status)

    def test_renegotiation_breaks_nothing(self):
        """A line with only R makes openssl ask for it."""
        done = self.s_client("-tls1_2", input=b"R\n", check=False)
        self.assertIn(b"RENEGOTIATING", done.stdout + done.stderr)
        self.assertEqual(200, self.elmod.ask("GET", "/health/ready").status)


class SlowClients(HttpsTest):
    def test_handshakes_that_stop_are_cut_off_and_cost_nothing(self):
        """With epoll libmicrohttpd would use all CPU time while it waits for the rest of a handshake."""
        with SecureElmod(self.authority, *self.pair, "--header-timeout-ms", 1500) as elmod:
            begun = elmod.cpu_seconds()
            stopped = [elmod.socket() for _ in range(4)]
            for connection, hello in zip(
                stopped, (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01", b"\x16\x03\x01\x02\x00xxxxx")
            ):
                connection.sendall(hello)
            for connection in stopped:
                self.assert_closed(connection)
                connection.close()
            self.assertLess(elmod.cpu_seconds() - begun, 0.5)

    def test_a_slow_handshake_is_cut_off(self):
        hello = itertools.chain(b"\x16\x03\x01\x3f\xff\x01\x00\x3f\xfb", itertools.repeat(0))
        with SecureElmod(self.authority, *self.pair, "--header-timeout-ms", 300) as elmod:
            with elmod.socket() as connection, self.assertRaises((BrokenPipeError,
                                                                  ConnectionResetError)):
                for byte in itertools.islice(hello, 16000):
                    connection.sendall(bytes([byte]))
                    time.sleep(0.01)

    def test_a_request_that_stops_is_cut_off(self):
        flags = ("--header-timeout-ms", 500, "--body-timeout-ms", 500)
        with SecureElmod(self.authority, *self.pair, *flags) as elmod:
            for head in (
                b"",
                b"GET /in",
                b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Content-Length: 9\r\n\r\n{",
            ):
                # Nothing is sent. An answer in plain text would be an error here.
                with self.subTest(head), elmod.secure_socket() as connection:
                    connection.sendall(head)
                    self.assert_closed(connection)

    def test_an_answer_waits_for_a_slow_reader(self):
        with SecureElmod(self.authority, *self.pair) as elmod:
            connection = elmod.connect()
            connection.request("POST", "/embed", json.dumps(LARGE), JSON)
            response = connection.getresponse()
            first = response.read(1000)
            self.assertEqual(200, elmod.ask("GET", "/health/live").status)
            self.assertEqual(len(elmod.ask("POST", "/embed", LARGE).body),
                             len(first + response.read()))
            connection.close()


class Ends(HttpsTest):
    def test_a_drain_answers_open_requests_and_closes(self):
        with SecureElmod(self.authority, *self.pair) as elmod:
            idle = elmod.secure_socket()
            reading = elmod.connect()
            reading.request("POST", "/embed", json.dumps(LARGE), JSON)
            response = reading.getresponse()
            first = response.read(1000)
            elmod.ask_to_stop()
            wait_until(lambda: not accepts(elmod), "the end of listening")
            rest = response.read()
            self.assertTrue((first + rest).endswith(b"}}"))
            self.assertEqual(0, elmod.stop())
            idle.close()
            reading.close()

    def test_wrong_files_end_the_start(self):
        other_key = self.authority.certify("other")[1]
        empty = pathlib.Path(self.folder, "empty")
        empty.touch()
        for certificate, key, words in (
            (self.pair[0], other_key, f"{other_key}: this is not the key of the certificate"),
            ("/no/such.pem", self.pair[1], "/no/such.pem: No such file or directory"),
            (self.pair[0], "/no/such.key", "/no/such.key: No such file or directory"),
            (empty, self.pair[1], f"{empty}: "),
        ):
            with self.subTest(words):
                done = run(BINARY, "--listen", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key",
                           key, check=False)
                self.assertEqual(1, done.returncode)
                event = '"event":"tls_failed","reason":"' + words
                self.assertIn(event, done.stderr.decode())

    def test_a_renewed_certificate_is_used_after_sighup(self):
        """New connections get it, an open connection continues, and a wrong pair changes nothing."""
        other = self.authority.certify("renewed")
        shown = [self.authority.file(name) for name in ("shown.pem", "shown.key")]

        def put(certificate, key):
            for source, place in zip((certificate, key), shown):
                shutil.copyfile(source, place)

        def serial(elmod):
            with elmod.secure_socket() as connection:
                return connection.getpeercert()["serialNumber"]

        put(*self.pair)
        with SecureElmod(self.authority, *shown) as elmod:
            kept, first = elmod.connect(), serial(elmod)
            self.assertEqual(200, elmod.ask("GET", "/info", connection=kept).status)
            put(other[0], self.pair[1])
            elmod.process.send_signal(signal.SIGHUP)
            wait_until(lambda: '"event":"tls_failed"' in elmod.log_text(), "a refusal")
            self.assertEqual(first, serial(elmod))
            put(*other)
            elmod.process.send_signal(signal.SIGHUP)
            wait_until(lambda: serial(elmod) != first, "the other certificate")
            self.assertEqual(200, elmod.ask("GET", "/info", connection=kept).status)
            kept.close()

    def test_tls_1_3_can_be_required(self):
        rsa = self.authority.certify("rsa", ("rsa:2048",))
        with SecureElmod(self.authority, *rsa, "--tls-min-version", "1.3") as elmod:
            self.assertEqual(200, elmod.ask("GET", "/health/ready").status)
            elmod.context.maximum_version = ssl.TLSVersion.TLSv1_2
            with self.assertRaises(ssl.SSLError):
                elmod.ask("GET", "/health/ready")
            elmod.context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED


def accepts(elmod):
    try:
        elmod.socket().close()
    except ConnectionRefusedError:
        return False
    return True


if __name__ == "__main__":
    unittest.main()
