"""A Kafka and a CQL server that want TLS and a password, for tests: certificates, users, and the servers themselves."""

import datetime
import ipaddress
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.local.jars import LIB_DIR, java
from infra.local.ports import HOST
from infra.local.readiness import NotReady
from infra.local.servers import CassandraServer, KafkaServer
from livecomments.cql.session import CqlAccess, connect
from livecomments.runtime.tls import client_context
from livecomments.store.interface import StoreUnavailable
from tests.store.examples import DATACENTER

USER: Final = "livecomments"
PASSWORD: Final = "canary-hunter2"
_DAY: Final = datetime.timedelta(days=1)
_COMMAND_TIMEOUT_S: Final = 60


@dataclass(frozen=True)
class Certificates:
    """Files: `ca` to check with, `keystore` (PEM: key and certificate) and `store` (PKCS #12) to serve with."""

    ca: Path
    keystore: Path
    store: Path

    @classmethod
    def in_(cls, directory: Path) -> "Certificates":
        """Those that `make_certificates` made there."""
        return cls(directory / "ca.pem", directory / "server.pem", directory / "server.p12")


def make_certificates(directory: Path) -> Certificates:
    """A CA of its own, and one certificate for this machine's loopback address."""
    from cryptography.hazmat.primitives.serialization import pkcs12

    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name, name = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in ("test CA", "server"))

    def begun(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(ca_name).public_key(public)
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - _DAY).not_valid_after(now + _DAY)

    ca = (
        begun(ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    served = (
        begun(name, key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    files = Certificates.in_(directory)
    files.ca.write_bytes(ca.public_bytes(pem))
    clear = serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, clear)
    files.keystore.write_bytes(private + served.public_bytes(pem))
    locked = serialization.BestAvailableEncryption(PASSWORD.encode())
    files.store.write_bytes(pkcs12.serialize_key_and_certificates(b"server", key, served, None, locked))
    return files


def secured_kafka(directory: Path, certificates: Certificates, ports: tuple[int, int, int]) -> tuple[KafkaServer, str]:
    """A broker, and the address at which it wants TLS and a password; at its own it wants neither, for its probe.

    Args:
        directory: its own.
        certificates: what it serves with.
        ports: of its own address, of the secured one, of its controller.
    """
    plain, secured, controller = ports
    login = "org.apache.kafka.common.security.plain.PlainLoginModule"
    settings = {
        "listeners": f"PLAINTEXT://{HOST}:{plain},SASL_SSL://{HOST}:{secured},CONTROLLER://{HOST}:{controller}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": f'{login} required user_{USER}="{PASSWORD}";',
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.keystore),
    }
    for mechanism in ("scram-sha-256", "scram-sha-512"):
        module = "org.apache.kafka.common.security.scram.ScramLoginModule"
        settings[f"listener.name.sasl_ssl.{mechanism}.sasl.jaas.config"] = f"{module} required;"
    server = KafkaServer(directory, port=plain, voters={1: controller}, settings=settings, heap_mb=256)
    return server, f"{HOST}:{secured}"


def add_scram_user(address: str) -> None:
    """Tell a broker that runs of the user, by Kafka's own tool, which takes one mechanism at a time."""
    command = [java(), "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", f"{LIB_DIR}/kafka/*", "kafka.admin.ConfigCommand"]
    for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
        change = ("--alter", "--add-config", f"{mechanism}=[password={PASSWORD}]")
        of = ("--entity-type", "users", "--entity-name", USER)
        whole = [*command, "--bootstrap-server", address, *change, *of]
        subprocess.run(whole, check=True, capture_output=True, timeout=_COMMAND_TIMEOUT_S)


class SecuredCassandra(CassandraServer):
    """A Cassandra that wants TLS and a password, that of the user it makes itself."""

    user = password = "cassandra"

    def __init__(self, data_dir: Path, certificates: Certificates) -> None:
        super().__init__(data_dir)
        self._certificates = certificates

    def _arguments(self, jars: str) -> list[str]:
        arguments = super()._arguments(jars)
        with (self.data_dir / "cassandra.yaml").open("a") as file:
            file.write(
                "authenticator: PasswordAuthenticator\nclient_encryption_options:\n  enabled: true\n"
                f"  keystore: {self._certificates.store}\n  keystore_password: {PASSWORD}\n  store_type: PKCS12\n"
            )
        return [arguments[0], "-Dcassandra.superuser_setup_delay_ms=0", *arguments[1:]]

    def _probe(self) -> None:
        access = CqlAccess(self.user, self.password, client_context("", str(self._certificates.ca)))
        try:
            connect(self.address, DATACENTER, _COMMAND_TIMEOUT_S, access=access).cluster.shutdown()
        except StoreUnavailable as error:
            raise NotReady(str(error)) from error
