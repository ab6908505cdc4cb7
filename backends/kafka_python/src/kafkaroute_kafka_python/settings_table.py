"""Every setting of librdkafka and what this backend does with it.

Names, ranges and defaults: librdkafka's own property table (version 2.16; CONFIGURATION.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["CONFLUENT_ONLY", "SETTINGS", "Handling", "Setting"]


class Handling(Enum):
    #: Translated for kafka-python, or done by this backend itself.
    HONOURED = "honoured"
    #: Nothing an application could notice depends on it here; any valid value is accepted.
    NO_EFFECT = "no effect"
    #: kafka-python has no equal: accepted at librdkafka's default, else refused by name.
    DEFAULT_ONLY = "default only"


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: `scope` is ``*``, ``P`` (producer) or ``C`` (consumer); `kind` is ``int``,
    ``bool``, ``str``, ``secret`` or ``callable``; `low`/`high` bound an ``int``; `choices` a ``str``.
    """

    name: str
    scope: str
    kind: str
    default: int | bool | str | None
    handling: Handling
    low: int = 0
    high: int = 0
    choices: tuple[str, ...] = ()


_MAX = 2147483647

# name | scope | kind | default | range or choices       (an empty default: not set)
_HONOURED = f"""
client.id | * | str | rdkafka |
bootstrap.servers | * | str | |
message.max.bytes | * | int | 1000000 | 1000..1000000000
receive.message.max.bytes | * | int | 100000000 | 1000..{_MAX}
max.in.flight.requests.per.connection | * | int | 1000000 | 1..1000000
topic.metadata.refresh.interval.ms | * | int | 300000 | -1..3600000
metadata.max.age.ms | * | int | 900000 | 1..86400000
topic.metadata.propagation.max.ms | * | int | 30000 | 0..3600000
socket.timeout.ms | * | int | 60000 | 10..300000
socket.send.buffer.bytes | * | int | 0 | 0..100000000
socket.receive.buffer.bytes | * | int | 0 | 0..100000000
socket.keepalive.enable | * | bool | false |
socket.nagle.disable | * | bool | true |
broker.address.family | * | str | any | any, v4, v6
socket.connection.setup.timeout.ms | * | int | 30000 | 1000..{_MAX}
connections.max.idle.ms | * | int | 0 | 0..{_MAX}
reconnect.backoff.ms | * | int | 100 | 0..3600000
reconnect.backoff.max.ms | * | int | 10000 | 0..3600000
retry.backoff.ms | * | int | 100 | 1..300000
api.version.request | * | bool | true |
broker.version.fallback | * | str | 0.10.0 |
allow.auto.create.topics | * | bool | false |
client.dns.lookup | * | str | use_all_dns_ips | use_all_dns_ips, resolve_canonical_bootstrap_servers_only
client.rack | * | str | |
security.protocol | * | str | plaintext | plaintext, ssl, sasl_plaintext, sasl_ssl
ssl.cipher.suites | * | str | |
ssl.key.location | * | str | |
ssl.key.password | * | secret | |
ssl.key.pem | * | secret | |
ssl.certificate.location | * | str | |
ssl.certificate.pem | * | str | |
ssl.ca.location | * | str | |
ssl.ca.pem | * | str | |
ssl.crl.location | * | str | |
enable.ssl.certificate.verification | * | bool | true |
ssl.endpoint.identification.algorithm | * | str | https | none, https
sasl.mechanisms | * | str | GSSAPI |
sasl.username | * | secret | |
sasl.password | * | secret | |
sasl.kerberos.service.name | * | str | kafka |
sasl.oauthbearer.config | * | secret | |
sasl.oauthbearer.method | * | str | default | default
oauth_cb | * | callable | |
error_cb | * | callable | |
group.id | C | str | |
group.instance.id | C | str | |
partition.assignment.strategy | C | str | range,roundrobin |
session.timeout.ms | C | int | 45000 | 1..3600000
heartbeat.interval.ms | C | int | 3000 | 1..3600000
max.poll.interval.ms | C | int | 300000 | 1..86400000
enable.auto.commit | C | bool | true |
auto.commit.interval.ms | C | int | 5000 | 0..86400000
enable.auto.offset.store | C | bool | true |
queued.min.messages | C | int | 100000 | 1..10000000
queued.max.messages.kbytes | C | int | 65536 | 1..2097151
fetch.wait.max.ms | C | int | 500 | 0..300000
max.partition.fetch.bytes | C | int | 1048576 | 1..1000000000
fetch.max.bytes | C | int | 52428800 | 0..2147483135
fetch.min.bytes | C | int | 1 | 0..{_MAX}
isolation.level | C | str | read_committed | read_uncommitted, read_committed
enable.partition.eof | C | bool | false |
check.crcs | C | bool | false |
max.poll.records | C | int | 500 | 1..{_MAX}
auto.offset.reset | C | str | largest | smallest, earliest, beginning, largest, latest, end, error
on_commit | C | callable | |
transactional.id | P | str | |
transaction.timeout.ms | P | int | 60000 | 1000..{_MAX}
enable.idempotence | P | bool | false |
queue.buffering.max.messages | P | int | 100000 | 0..{_MAX}
queue.buffering.max.kbytes | P | int | 1048576 | 1..{_MAX}
linger.ms | P | int | 5 | 0..900000
retries | P | int | {_MAX} | 0..{_MAX}
compression.type | P | str | none | none, gzip, snappy, lz4, zstd
batch.num.messages | P | int | 10000 | 1..1000000
batch.size | P | int | 1000000 | 1..{_MAX}
delivery.report.only.error | P | bool | false |
sticky.partitioning.linger.ms | P | int | 10 | 0..900000
acks | P | str | -1 |
request.timeout.ms | P | int | 30000 | 1..900000
message.timeout.ms | P | int | 300000 | 0..{_MAX}
partitioner | P | str | consistent_random |
on_delivery | P | callable | |
"""

_NO_EFFECT = f"""
builtin.features | * | str | |
message.copy.max.bytes | * | int | 65535 | 0..1000000000
metadata.recovery.strategy | * | str | rebootstrap | none, rebootstrap
metadata.recovery.rebootstrap.trigger.ms | * | int | 300000 | 0..{_MAX}
topic.metadata.refresh.fast.interval.ms | * | int | 100 | 1..60000
topic.metadata.refresh.fast.cnt | * | int | 10 | 0..1000
socket.blocking.max.ms | * | int | 1000 | 1..60000
socket.max.fails | * | int | 1 | 0..1000000
broker.address.ttl | * | int | 1000 | 0..86400000
reconnect.backoff.jitter.ms | * | int | 0 | 0..3600000
log.thread.name | * | bool | true |
log.connection.close | * | bool | true |
enable.random.seed | * | bool | true |
internal.termination.signal | * | int | 0 | 0..128
api.version.request.timeout.ms | * | int | 10000 | 1..300000
api.version.fallback.ms | * | int | 0 | 0..604800000
enable.metrics.push | * | bool | true |
sasl.kerberos.min.time.before.relogin | * | int | 60000 | 0..86400000
ssl.ca.certificate.stores | * | str | Root |
coordinator.query.interval.ms | C | int | 600000 | 1..3600000
fetch.queue.backoff.ms | C | int | 1000 | 0..300000
fetch.error.backoff.ms | C | int | 500 | 0..300000
offset.store.path | C | str | . |
offset.store.sync.interval.ms | C | int | -1 | -1..86400000
consume.callback.max.messages | C | int | 0 | 0..1000000
queue.buffering.backpressure.threshold | P | int | 1 | 1..1000000
produce.offset.report | P | bool | false |
"""

_DEFAULT_ONLY = f"""
topic.metadata.refresh.sparse | * | bool | true |
topic.blacklist | * | str | |
debug | * | str | |
log_level | * | int | 6 | 0..7
log.queue | * | bool | false |
statistics.interval.ms | * | int | 0 | 0..86400000
enabled_events | * | int | 0 | 0..{_MAX}
retry.backoff.max.ms | * | int | 1000 | 1..300000
throttle_cb | * | callable | |
stats_cb | * | callable | |
logger | * | callable | |
ssl.curves.list | * | str | |
ssl.sigalgs.list | * | str | |
ssl.keystore.location | * | str | |
ssl.keystore.password | * | secret | |
ssl.providers | * | str | |
ssl.engine.location | * | str | |
ssl.engine.id | * | str | dynamic |
https.ca.location | * | str | |
https.ca.pem | * | str | |
sasl.kerberos.principal | * | str | kafkaclient |
sasl.kerberos.kinit.cmd | * | str | |
sasl.kerberos.keytab | * | str | |
enable.sasl.oauthbearer.unsecure.jwt | * | bool | false |
sasl.oauthbearer.client.id | * | secret | |
sasl.oauthbearer.client.secret | * | secret | |
sasl.oauthbearer.client.credentials.client.id | * | secret | |
sasl.oauthbearer.client.credentials.client.secret | * | secret | |
sasl.oauthbearer.scope | * | str | |
sasl.oauthbearer.extensions | * | str | |
sasl.oauthbearer.token.endpoint.url | * | str | |
sasl.oauthbearer.sub.claim.name | * | str | sub |
sasl.oauthbearer.grant.type | * | str | client_credentials |
sasl.oauthbearer.assertion.algorithm | * | str | RS256 |
sasl.oauthbearer.assertion.private.key.file | * | secret | |
sasl.oauthbearer.assertion.private.key.passphrase | * | secret | |
sasl.oauthbearer.assertion.private.key.pem | * | secret | |
sasl.oauthbearer.assertion.file | * | str | |
sasl.oauthbearer.assertion.claim.aud | * | str | |
sasl.oauthbearer.assertion.claim.exp.seconds | * | int | 300 | 1..{_MAX}
sasl.oauthbearer.assertion.claim.iss | * | str | |
sasl.oauthbearer.assertion.claim.jti.include | * | bool | false |
sasl.oauthbearer.assertion.claim.nbf.seconds | * | int | 60 | 0..{_MAX}
sasl.oauthbearer.assertion.claim.sub | * | str | |
sasl.oauthbearer.assertion.jwt.template.file | * | str | |
sasl.oauthbearer.metadata.authentication.type | * | str | none |
plugin.library.paths | * | str | |
group.protocol.type | C | str | consumer |
group.protocol | C | str | classic | classic, consumer
group.remote.assignor | C | str | |
share.acknowledgement.mode | C | str | implicit |
offset.store.method | C | str | broker | none, file, broker
enable.gapless.guarantee | P | bool | false |
queuing.strategy | P | str | fifo | fifo, lifo
compression.level | P | int | -1 | -1..12
"""

#: Names that confluent-kafka accepts beside librdkafka's, and what they mean here.
CONFLUENT_ONLY: dict[str, str] = {
    "auto.commit.enable": "enable.auto.commit",
    "dr_cb": "on_delivery",
    "dr_msg_cb": "on_delivery",
    "offset_commit_cb": "on_commit",
    "oauthbearer_token_refresh_cb": "oauth_cb",
}


def _parse(text: str, handling: Handling) -> dict[str, Setting]:
    rows: dict[str, Setting] = {}
    for line in text.strip().splitlines():
        name, scope, kind, default, limits = (cell.strip() for cell in line.split("|"))
        value: int | bool | str | None = default or None
        low = high = 0
        choices: tuple[str, ...] = ()
        if kind == "int":
            value = int(default)
            low, high = (int(end) for end in limits.split(".."))
        elif kind == "bool":
            value = default == "true"
        elif limits:
            choices = tuple(choice.strip() for choice in limits.split(","))
        rows[name] = Setting(name, scope, kind, value, handling, low, high, choices)
    return rows


SETTINGS: dict[str, Setting] = {
    **_parse(_HONOURED, Handling.HONOURED),
    **_parse(_NO_EFFECT, Handling.NO_EFFECT),
    **_parse(_DEFAULT_ONLY, Handling.DEFAULT_ONLY),
}
