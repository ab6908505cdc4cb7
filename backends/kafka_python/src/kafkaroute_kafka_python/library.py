"""The one place where kafka-python is imported.

Its import reads package data through a deprecated call; an application that turns warnings into
errors must be able to use it all the same.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import kafka
    from kafka import errors as kp
    from kafka.cluster import ClusterMetadata as KafkaCluster
    from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
    from kafka.coordinator.assignors.range import RangePartitionAssignor
    from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
    from kafka.coordinator.base import BaseCoordinator
    from kafka.future import Future
    from kafka.net.compat import KafkaNetClient
    from kafka.net.inet import KafkaNetSocket, create_connection
    from kafka.net.manager import KafkaConnectionManager
    from kafka.net.sasl.oauth import AbstractTokenProvider
    from kafka.net.selector import NetworkSelector
    from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport
    from kafka.producer.producer_batch import ProducerBatch
    from kafka.protocol.consumer import FetchRequest
    from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment
    from kafka.protocol.metadata import MetadataRequest
    from kafka.protocol.producer import InitProducerIdRequest
    from kafka.protocol.sasl import SaslAuthenticateRequest
    from kafka.record.default_records import DefaultRecordBatch
    from kafka.record.memory_records import MemoryRecordsBuilder
    from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata
    from kafka.structs import TopicPartition as KafkaPartition
    from kafka.version import __version__ as kafka_version

KafkaConsumer = kafka.KafkaConsumer
KafkaProducer = kafka.KafkaProducer

__all__ = [
    "AbstractTokenProvider",
    "AsyncConsumerRebalanceListener",
    "BaseCoordinator",
    "ConsumerGroupMetadata",
    "ConsumerProtocolAssignment",
    "CooperativeStickyAssignor",
    "DefaultRecordBatch",
    "FetchRequest",
    "Future",
    "InitProducerIdRequest",
    "KafkaCluster",
    "KafkaConnectionManager",
    "KafkaConsumer",
    "KafkaNetClient",
    "KafkaNetSocket",
    "KafkaPartition",
    "KafkaProducer",
    "KafkaSSLTransport",
    "KafkaTCPTransport",
    "MemoryRecordsBuilder",
    "MetadataRequest",
    "NetworkSelector",
    "OffsetAndMetadata",
    "ProducerBatch",
    "RangePartitionAssignor",
    "RoundRobinPartitionAssignor",
    "SaslAuthenticateRequest",
    "create_connection",
    "kafka_version",
    "kp",
]
