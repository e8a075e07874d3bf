"""Which errors of a Kafka consumer pass by themselves, and which end the read with a remedy."""

from confluent_kafka import KafkaError

from sources.reader import SourceError

_ACCESS = "give the client the right to it: check the ACLs, and the user and secret in kafka.client"
_DAMAGED = "copy what can be saved from a replica, or go on behind it with start = 'topic/partition:offset'"
_DELETED = "lengthen the topic's retention; start = 'earliest' goes on without the records deleted"
_GONE = "make it with `orderpulse topics create`, or correct its name in kafka.topics"

_REMEDIES = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: _GONE,
    KafkaError._UNKNOWN_TOPIC: _GONE,
    KafkaError._UNKNOWN_PARTITION: _GONE,
    KafkaError.OFFSET_OUT_OF_RANGE: _DELETED,
    KafkaError._AUTO_OFFSET_RESET: _DELETED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: _ACCESS,
    KafkaError.GROUP_AUTHORIZATION_FAILED: _ACCESS,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: _ACCESS,
    KafkaError.SASL_AUTHENTICATION_FAILED: _ACCESS,
    KafkaError._AUTHENTICATION: _ACCESS,
    KafkaError._BAD_MSG: _DAMAGED,
    KafkaError._BAD_COMPRESSION: _DAMAGED,
}


def source_error(error: KafkaError, where: str) -> SourceError | None:
    """The error that ends the read, or None when librdkafka will get over it by trying again."""
    remedy = _REMEDIES.get(error.code())
    if remedy is None and error.fatal():
        remedy = "start again; if it comes back, look into the broker's log"
    return SourceError(error.str(), where, remedy) if remedy else None
