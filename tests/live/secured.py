"""A Kafka and a CQL server that want TLS and a password, for tests: certificates, users, and the servers themselves."""

import datetime
import ipaddress
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from infra.local.jars import LIB_DIR, java
from infra.local.ports import HOST
from infra.local.readiness import NotReady
from infra.local.servers import CassandraServer, KafkaServer
from livecomments.cql.session import CqlAccess, connect
from livecomments.runtime.rotation import Rotated
from livecomments.runtime.tls import client_context
from livecomments.store.interface import StoreUnavailable
from tests.store.examples import DATACENTER

USER: Final = "livecomments"
PASSWORD: Final = "canary-hunter2"
SCRAM: Final = ("SCRAM-SHA-256", "SCRAM-SHA-512")
_PEM: Final = serialization.Encoding.PEM
_DAY: Final = datetime.timedelta(days=1)
_COMMAND_TIMEOUT_S: Final = 60


@dataclass(frozen=True)
class Certificates:
    """Files in a directory: of the servers, and of those who connect to them. All but the stores are PEM."""

    directory: Path

    @property
    def ca(self) -> Path:
        """What clients check servers with."""
        return self.directory / "ca.pem"

    @property
    def certificate(self) -> Path:
        """What clients show."""
        return self.directory / "client.pem"

    @property
    def key(self) -> Path:
        """The key of what they show."""
        return self.directory / "client.key"

    @property
    def keystore(self) -> Path:
        """Key and certificate that a server serves with."""
        return self.directory / "server.pem"

    @property
    def store(self) -> Path:
        """The same, as PKCS #12."""
        return self.directory / "server.p12"

    @property
    def trusted(self) -> Path:
        """What servers check clients with."""
        return self.directory / "trusted.pem"

    @property
    def trusted_store(self) -> Path:
        """The same, as PKCS #12 for Java."""
        return self.directory / "trusted.p12"


class Authority:
    """A CA of its own."""

    def __init__(self, name: str = "test CA") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        unsigned = _begun(self._name, self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self.certificate = unsigned.sign(self._key, hashes.SHA256())

    def write_servers(self, files: Certificates, trusted: Sequence["Authority"]) -> None:
        """Write what a server at this machine's loopback address has, which lets those in whom `trusted` know."""
        key, certificate = self._issue("server")
        locked = serialization.BestAvailableEncryption(PASSWORD.encode())
        files.keystore.write_bytes(_private(key) + certificate.public_bytes(_PEM))
        files.store.write_bytes(pkcs12.serialize_key_and_certificates(b"server", key, certificate, None, locked))
        files.trusted.write_bytes(b"".join(one.certificate.public_bytes(_PEM) for one in trusted))
        known = [pkcs12.PKCS12Certificate(one.certificate, b"ca%d" % number) for number, one in enumerate(trusted)]
        files.trusted_store.write_bytes(pkcs12.serialize_java_truststore(known, locked))

    def write_clients(self, files: Certificates, *, beside: bytes = b"") -> None:
        """Replace what a client has, file by file; it believes servers of this CA, and of those `beside`."""
        key, certificate = self._issue("client")
        _replace(files.ca, self.certificate.public_bytes(_PEM) + beside)
        _replace(files.certificate, certificate.public_bytes(_PEM))
        _replace(files.key, _private(key))

    def _issue(self, name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        key = ec.generate_private_key(ec.SECP256R1())
        here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
        unsigned = _begun(_named(name), self._name, key).add_extension(here, critical=False)
        return key, unsigned.sign(self._key, hashes.SHA256())


def make_certificates(directory: Path, *, also_trusted: Sequence[Authority] = ()) -> Certificates:
    """Those of servers and clients of one new CA; the servers let clients of other CAs in too."""
    files, authority = Certificates(directory), Authority()
    authority.write_servers(files, [authority, *also_trusted])
    authority.write_clients(files)
    return files


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _begun(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - _DAY).not_valid_after(now + _DAY)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _replace(file: Path, data: bytes) -> None:
    new = file.with_name(file.name + ".new")
    new.write_bytes(data)
    new.replace(file)


def plain_login(password: str) -> dict[str, str]:
    """The broker's settings for the user by PLAIN."""
    login = "org.apache.kafka.common.security.plain.PlainLoginModule"
    return {"listener.name.sasl_ssl.plain.sasl.jaas.config": f'{login} required user_{USER}="{password}";'}


def secured_kafka(directory: Path, certificates: Certificates, ports: tuple[int, int, int]) -> tuple[KafkaServer, str]:
    """A broker, and the address at which it wants TLS, a certificate and a password; at its own it wants nothing.

    Who came by SCRAM-SHA-512 is known for five seconds: the next request ends that connection, unanswered.

    Args:
        directory: its own.
        certificates: what it serves with.
        ports: of its own address, of the secured one, of its controller.
    """
    plain, secured, controller = ports
    settings = {
        "listeners": f"PLAINTEXT://{HOST}:{plain},SASL_SSL://{HOST}:{secured},CONTROLLER://{HOST}:{controller}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.sasl_ssl.ssl.client.auth": "required",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.keystore),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates.trusted),
        **plain_login(PASSWORD),
    }
    for mechanism in ("scram-sha-256", "scram-sha-512"):
        module = "org.apache.kafka.common.security.scram.ScramLoginModule"
        settings[f"listener.name.sasl_ssl.{mechanism}.sasl.jaas.config"] = f"{module} required;"
    settings["listener.name.sasl_ssl.scram-sha-512.connections.max.reauth.ms"] = "5000"
    server = KafkaServer(directory, port=plain, voters={1: controller}, settings=settings, heap_mb=256)
    return server, f"{HOST}:{secured}"


def set_scram_password(address: str, password: str, mechanisms: Sequence[str] = SCRAM) -> None:
    """Tell a broker that runs of the user's password, by Kafka's own tool, which takes one mechanism at a time."""
    command = [java(), "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", f"{LIB_DIR}/kafka/*", "kafka.admin.ConfigCommand"]
    for mechanism in mechanisms:
        change = ("--alter", "--add-config", f"{mechanism}=[password={password}]")
        of = ("--entity-type", "users", "--entity-name", USER)
        whole = [*command, "--bootstrap-server", address, *change, *of]
        subprocess.run(whole, check=True, capture_output=True, timeout=_COMMAND_TIMEOUT_S)


def context_of(files: Certificates) -> ssl.SSLContext:
    """The context of a client with these files."""
    return client_context("X_CA", str(files.ca), certificate=str(files.certificate), key=str(files.key))


class SecuredCassandra(CassandraServer):
    """A Cassandra that wants TLS, a certificate and a password, that of the user it makes itself."""

    user = password = "cassandra"

    def __init__(self, data_dir: Path, certificates: Certificates) -> None:
        super().__init__(data_dir)
        self._certificates = certificates

    def access(self) -> CqlAccess:
        """How it is spoken to now."""
        return CqlAccess(self.user, self.password, context_of(self._certificates))

    def change_password(self, password: str) -> None:
        """Have it take this password, and no other, for connections from now on."""
        session = connect(self.address, DATACENTER, _COMMAND_TIMEOUT_S, access=Rotated(self.access()))
        session.execute(f"ALTER ROLE {self.user} WITH PASSWORD = '{password}'")
        session.cluster.shutdown()
        self.password = password

    def _arguments(self, jars: str) -> list[str]:
        arguments = super()._arguments(jars)
        with (self.data_dir / "cassandra.yaml").open("a") as file:
            file.write(
                "authenticator: PasswordAuthenticator\nclient_encryption_options:\n  enabled: true\n"
                f"  keystore: {self._certificates.store}\n  keystore_password: {PASSWORD}\n  store_type: PKCS12\n"
                f"  require_client_auth: true\n  truststore: {self._certificates.trusted_store}\n"
                f"  truststore_password: {PASSWORD}\n"
            )
        return [arguments[0], "-Dcassandra.superuser_setup_delay_ms=0", *arguments[1:]]

    def _probe(self) -> None:
        try:
            connect(self.address, DATACENTER, _COMMAND_TIMEOUT_S, access=Rotated(self.access())).cluster.shutdown()
        except StoreUnavailable as error:
            raise NotReady(str(error)) from error
