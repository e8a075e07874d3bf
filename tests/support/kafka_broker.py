"""A real Apache Kafka for tests and for development, run from its jars, without Docker.

One node is broker and controller at once (KRaft). Its jars come through Maven, once, into `.kafka/` or the
folder that ORDERPULSE_KAFKA_HOME names; one that already holds Kafka's `libs/` is used as it is.

    with KafkaBroker.start(tmp_path) as broker:
        Producer({"bootstrap.servers": broker.bootstrap})

`python -m tests.support.kafka_broker` runs a broker in the foreground.
"""

import argparse
import base64
import contextlib
import fcntl
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self
from xml.etree import ElementTree

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.support.ports import free_port, is_free, is_listening

ROOT = Path(__file__).resolve().parents[2]
POM = Path(__file__).with_name("kafka") / "pom.xml"

DEFAULT_PORT = 9092
MINIMUM_JAVA = 17
FETCH_SECONDS = 600
START_SECONDS = 120
CREATE_SECONDS = 30
CREATE_ATTEMPTS = 3
STOP_SECONDS = 20
LOG_TAIL_LINES = 40

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    # One node keeps the one copy of everything, and few partitions make a start short.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    # A misspelt topic is an error here as in production.
    "auto.create.topics.enable": "false",
    # Records carry the time of their events: with a limit, last year's orders would vanish during a test.
    "log.retention.ms": "-1",
    # The cleaner's share of the heap, 128 MB unless told, is more than all the rest needs.
    "log.cleaner.dedupe.buffer.size": "4194304",
}

# Kafka prints hundreds of lines of settings at each start; what is left tells how far a start came, and of an error
# the cause first.
LOG_SETTINGS = """\
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %c{1} %m%n%rEx{8}
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=INFO
logger.broker.name=kafka.server.BrokerServer
logger.broker.level=INFO
logger.logs.name=kafka.log.LogManager
logger.logs.level=INFO
"""


class BrokerError(RuntimeError):
    """The broker could not be installed or started; the text says what to do or ends with the log."""


@dataclass(frozen=True)
class Installation:
    """What it takes to run Kafka's classes. A missing class archive costs time, nothing else."""

    java: str
    classpath: str
    class_archive: Path


def kafka_version() -> str:
    """The version of Kafka that tests run against."""
    version = ElementTree.parse(POM).findtext(".//{*}kafka.version")
    if not version:
        message = f"{POM}: no property kafka.version"
        raise BrokerError(message)
    return version


def kafka_home() -> Path:
    """Where the jars are, or will be: `libs/` in this folder."""
    return Path(os.environ.get("ORDERPULSE_KAFKA_HOME") or ROOT / ".kafka" / kafka_version())


def missing_requirements() -> str | None:
    """What this machine lacks to run a broker and how to get it, or None."""
    missing = []
    version = _java_version(_java())
    if version is None or int(version.split(".")[0]) < MINIMUM_JAVA:
        missing.append(f"Java {MINIMUM_JAVA} or later (found: {version or 'none'})")
    if not _jars(kafka_home()) and not shutil.which("mvn"):
        missing.append("Maven (mvn), which fetches Kafka's jars")
    if not missing:
        return None
    return (
        f"a real Kafka broker needs {' and '.join(missing)}; "
        "on Debian and Ubuntu: apt-get install openjdk-17-jre-headless maven"
    )


def install(say: Callable[[str], None] = lambda _: None) -> Installation:
    """Makes sure that the jars are there; processes that ask at the same time wait for the first."""
    if missing := missing_requirements():
        raise BrokerError(missing)
    home = kafka_home()
    java = _java()
    class_archive = home / f"classes-{_java_version(java)}.jsa"
    if _jars(home) and (class_archive.exists() or not os.access(home, os.W_OK)):
        return Installation(java, _classpath(home), class_archive)
    home.mkdir(parents=True, exist_ok=True)
    with _file_lock(home / ".lock"):
        if not _jars(home):
            say(f"Fetching Kafka {kafka_version()} with Maven into {home} (43 MB, once) ...")
            _fetch_jars(home / "libs")
        installation = Installation(java, _classpath(home), class_archive)
        if not class_archive.exists():
            say("Preparing a class archive, which halves the time of each later start ...")
            _archive_classes(installation)
    return installation


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    return str(Path(home) / "bin" / "java") if home else "java"


@functools.cache
def _java_version(java: str) -> str | None:
    try:
        run = subprocess.run([java, "-version"], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(\d[\w.]*)', run.stderr)
    return found.group(1) if found else None


def _jars(home: Path) -> list[Path]:
    """Kafka's jars, or none if Kafka itself is not among them."""
    jars = sorted((home / "libs").glob("*.jar"))
    return jars if any(jar.name.startswith("kafka_2.") for jar in jars) else []


def _classpath(home: Path) -> str:
    # Spelled out and sorted, because a class archive only fits the very class path that it was made with.
    return os.pathsep.join(str(jar.resolve()) for jar in _jars(home))


@contextlib.contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch_jars(libs: Path) -> None:
    """Fills a folder beside and renames it: an interrupted download leaves nothing that looks whole."""
    partial = libs.with_name(f"{libs.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={partial.resolve()}"]
    command = ["mvn", "--batch-mode", "--quiet", "--file", str(POM), *goal]
    try:
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=FETCH_SECONDS)
    except subprocess.CalledProcessError as error:
        message = f"Maven could not fetch Kafka's jars ({' '.join(command)}):\n{error.stdout}{error.stderr}"
        raise BrokerError(message) from error
    except subprocess.TimeoutExpired as error:
        message = f"Maven did not fetch Kafka's jars within {FETCH_SECONDS} s; it keeps what came, so try again"
        raise BrokerError(message) from error
    partial.rename(libs)


def _archive_classes(installation: Installation) -> None:
    """Lets one broker start and stop, and keeps the classes that it loaded in a form that loads at once."""
    archive = installation.class_archive
    partial = archive.with_name(f"{archive.name}.partial")
    with tempfile.TemporaryDirectory() as directory:
        broker = KafkaBroker(Path(directory), free_port(), installation)
        broker.launch([f"-XX:ArchiveClassesAtExit={partial}"])
        broker.stop()
    if partial.exists():  # a Java without class data sharing makes none
        partial.replace(archive)


class KafkaBroker:
    """One broker with its own directory, which holds its data, its settings and its log `broker.log`."""

    def __init__(self, directory: Path, port: int, installation: Installation, proxy_port: int | None = None) -> None:
        self.directory = directory
        self.port = port
        self.proxy_port = proxy_port
        self.behind_proxy = None if proxy_port is None else free_port()
        self.bootstrap = f"127.0.0.1:{port}"
        self.log_file = directory / "broker.log"
        self._data = directory / "data"
        self._controller_port = free_port()
        self._installation = installation
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(
        cls,
        directory: Path,
        port: int | None = None,
        *,
        proxy_port: int | None = None,
        java_options: Sequence[str] = (),
    ) -> Self:
        """Starts a broker and waits until it serves clients. A directory used before brings its topics.

        With ``proxy_port`` it also listens on the port ``behind_proxy``, and sends clients who come in there to
        ``proxy_port`` again: a proxy between the two sees all that such a client says and hears.
        """
        broker = cls(directory, port or free_port(), install(), proxy_port)
        broker.launch(java_options)
        return broker

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the process is there; a paused one is."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The number of its process, the last one if it has ended."""
        assert self._process is not None
        return self._process.pid

    def launch(self, java_options: Sequence[str] = ()) -> None:
        """Starts the process and waits until it serves clients. `start` and `restart` call it."""
        if not is_free(self.port):
            message = f"port {self.port} is in use: end what listens there, or ask for another port"
            raise BrokerError(message)
        self._write_settings()
        if not (self._data / "meta.properties").exists():
            self._format_data()
        with self.log_file.open("ab") as log:
            # In a session of its own: a Ctrl-C for the tests must not end the broker before they clean up.
            self._process = process = subprocess.Popen(
                self._java_command("kafka.Kafka", str(self._settings_file), options=java_options),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        weakref.finalize(self, process.kill)  # also when Python ends; no effect on a process that has ended
        try:
            self._wait_until_ready(process)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Ends the broker in order, so that its next start has nothing to recover."""
        if self._process is None or not self.running:
            return
        self.resume()
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Ends the broker at once (SIGKILL): nothing is closed, the next start recovers what is there."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        """Starts the broker again on the same data and port, after `stop` or `kill` or while it runs."""
        self.stop()
        self.launch()

    def pause(self) -> None:
        """Freezes the broker (SIGSTOP): connections stay open, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused broker go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def create_topic(self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> None:
        """Makes a topic and waits until it is there."""
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(config or {}))
        for attempt in range(CREATE_ATTEMPTS):
            admin = self._admin()  # held until the answer is there; with it would go the request
            try:
                admin.create_topics([topic])[name].result(CREATE_SECONDS)
            except TimeoutError:
                # A starved broker is dropped by its own controller for a while; the next request finds it back.
                if attempt + 1 == CREATE_ATTEMPTS:
                    raise
            except KafkaException as error:
                if attempt == 0 or error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
                return
            else:
                return

    def log_tail(self) -> str:
        """The end of the broker's log, for a failure's text."""
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join([f"the end of {self.log_file}:", *lines[-LOG_TAIL_LINES:]])

    @property
    def _settings_file(self) -> Path:
        return self.directory / "server.properties"

    @property
    def _log_settings_file(self) -> Path:
        return self.directory / "log4j2.properties"

    def _write_settings(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        listener, controller = f"PLAINTEXT://{self.bootstrap}", f"127.0.0.1:{self._controller_port}"
        listeners, advertised, names = [listener, f"CONTROLLER://{controller}"], [listener], ["PLAINTEXT", "CONTROLLER"]
        if self.proxy_port is not None:
            listeners.append(f"PROXIED://127.0.0.1:{self.behind_proxy}")
            advertised.append(f"PROXIED://127.0.0.1:{self.proxy_port}")
            names.append("PROXIED")
        settings = SETTINGS | {
            "listeners": ",".join(listeners),
            "advertised.listeners": ",".join(advertised),
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in names),
            "controller.quorum.voters": f"1@{controller}",
            "log.dirs": str(self._data.resolve()),
        }
        self._settings_file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        self._log_settings_file.write_text(LOG_SETTINGS)

    def _format_data(self) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # A leading dash would be read as an option.
        arguments = ["format", "--cluster-id", f"o{cluster[1:]}", "--config", str(self._settings_file)]
        command = self._java_command("kafka.tools.StorageTool", *arguments)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=START_SECONDS)
        if done.returncode != 0:
            message = f"Kafka could not format {self._data}:\n{done.stdout}{done.stderr}"
            raise BrokerError(message)

    def _java_command(self, main_class: str, *arguments: str, options: Sequence[str] = ()) -> list[str]:
        archive = self._installation.class_archive
        return [
            self._installation.java,
            "-Xmx512m",
            "-XX:TieredStopAtLevel=1",  # a broker of minutes does not live to gain from the full compiler
            *([f"-XX:SharedArchiveFile={archive}"] if archive.exists() else []),
            f"-Dlog4j2.configurationFile={self._log_settings_file.resolve().as_uri()}",
            *options,
            "-cp",
            self._installation.classpath,
            main_class,
            *arguments,
        ]

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                message = f"Kafka ended as it started, exit code {process.returncode}; {self.log_tail()}"
                raise BrokerError(message)
            # The port opens as the last step of a start; asked before, the client would log each refusal.
            if is_listening(self.port) and self._answers():
                return
            time.sleep(0.05)
        message = f"Kafka was not ready within {START_SECONDS} s; {self.log_tail()}"
        raise BrokerError(message)

    def _answers(self) -> bool:
        try:
            return bool(self._admin().list_topics(timeout=2).brokers)
        except KafkaException:
            return False

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.running:
            self._process.send_signal(number)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run_in_foreground(port: int, directory: Path) -> int:
    install(_say)
    _say(f"Starting Kafka {kafka_version()} ...")
    with KafkaBroker.start(directory, port) as broker:
        _say(
            f"Kafka is ready at {broker.bootstrap}; data and log in {directory}; Ctrl-C ends it.\n"
            "Try next, in another terminal:\n"
            "  orderpulse topics create\n"
            "  orderpulse run --input kafka --output kafka"
        )
        if port != DEFAULT_PORT:
            _say(f'with a configuration that holds: [kafka] bootstrap = "{broker.bootstrap}"')
        while broker.running:
            time.sleep(0.2)
        sys.stderr.write(f"Kafka ended by itself; {broker.log_tail()}\n")
    return 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a broker until Ctrl-C. Exit code: 0 ended as asked, 1 it failed, 2 something is missing."""
    parser = argparse.ArgumentParser(prog="make kafka", description="Runs a real Kafka broker until Ctrl-C.")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="for clients (default: %(default)s)")
    parser.add_argument("--directory", type=Path, help="for data and log, kept (default: in .kafka/)")
    options = parser.parse_args(arguments)
    if missing := missing_requirements():
        sys.stderr.write(f"{missing}\n")
        return 2
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _run_in_foreground(options.port, options.directory or kafka_home() / "broker")
    except KeyboardInterrupt:
        _say("Kafka is stopped.")
        return 0
    except BrokerError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
